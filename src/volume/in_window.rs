// SPDX-License-Identifier: GPL-2.0

//! Allocating from a reservation window, and who gets and loses one. See [`crate::volume::windows`].

use crate::ext2::bitmap::{self, Run};
use crate::ext2::Place;
use crate::types::SuperBlock;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::groups::{freed, Groups};
use crate::volume::state::Volume;
use crate::volume::windows::{AllocationRequest, Reservation};
use kernel::alloc::Flags;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

impl Groups {
    /// Takes blocks from the window of the inode, without a search, if the goal is in it and `is_fit` says so of
    /// what is there. `get` gets the buffer of the bitmap.
    ///
    /// The window was made when the bitmap had been checked, and the counters compared with it.
    pub(super) fn take_from_window(
        &mut self,
        sb: &SuperBlock,
        request: &AllocationRequest<'_>,
        get: impl FnOnce(u64) -> Result<BufferHead>,
        is_fit: impl FnOnce(Run) -> bool,
    ) -> Result<Option<Run>> {
        /// Bytes of the bitmap that are looked at, at most.
        const PART: usize = 256;
        let volume = sb.data();
        let (geometry, layout) = (volume.geometry(), volume.layout());
        let Some(window) = self.windows.of(request) else {
            return Ok(None);
        };
        let end = window.start.saturating_add(window.len);
        if !(window.start..end).contains(&request.goal) {
            return Ok(None);
        }
        let Some((group, goal)) = geometry.locate_block(request.goal) else {
            return Ok(None);
        };
        // In bits of the group, and then of the part.
        let end = goal + (end - request.goal);
        let from = goal / 64 * 8;
        let bytes = end.div_ceil(64) * 8 - from;
        let buffer = get(layout.group(group)?.block_bitmap().into())?;
        let mut part = [0; PART];
        let len = (bytes as usize)
            .min(PART)
            .min(buffer.size() - from as usize);
        let part = part.get_mut(..len).unwrap_or_default();
        buffer.read(from as usize, part)?;
        let end = (end - from * 8).min(len as u32 * 8);
        let counted = u32::from(self.counts(group).free_blocks);
        let Some(run) = bitmap::next_run(part, goal - from * 8, end, request.len.min(counted))
            .filter(|_| counted > 0)
        else {
            return Ok(None);
        };
        let found = Run {
            start: request.goal + (run.start + from * 8 - goal),
            len: run.len,
        };
        if !is_fit(found) {
            return Ok(None);
        }
        layout.check_data(Place::Inode(request.ino), found.start, found.len)?;
        let changed = bitmap::set_run(part, end, run).map_err(|_| EINVAL)?;
        self.take_counted(&volume.totals, group, found.len)?;
        copy_back(&buffer, from as usize, part, changed)?;
        volume.mark_buffer_dirty(&buffer);
        self.store_counts(volume, group)?;
        Ok(Some(found))
    }

    /// Gives the inode the window `new` in the place of its old one: see [`Windows::insert`].
    pub(super) fn replace_window(
        &mut self,
        volume: &Volume,
        request: &AllocationRequest<'_>,
        new: Run,
        len: u32,
        flags: Flags,
    ) {
        if let Some(of) = request.window {
            self.remove_window(volume, request.ino, of);
            self.windows.insert(request, new, len, flags);
        }
    }

    /// Takes its window from the inode `ino`, if it has one.
    pub(super) fn remove_window(&mut self, volume: &Volume, ino: u32, of: &Reservation) {
        if let Some(run) = self.windows.remove(ino, of) {
            freed(volume.geometry(), &mut self.free_runs, run);
        }
    }

    /// Takes all windows from who has them. Returns whether there was one.
    pub(super) fn remove_windows(&mut self, volume: &Volume) -> bool {
        let mut any = false;
        while let Some(run) = self.windows.remove_any() {
            freed(volume.geometry(), &mut self.free_runs, run);
            any = true;
        }
        any
    }
}

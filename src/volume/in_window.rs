// SPDX-License-Identifier: GPL-2.0

//! Allocating from a reservation window, and who gets and loses one. See [`crate::volume::windows`].

use crate::ext2::bitmap::{self, Run};
use crate::ext2::{Geometry, Place};
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::groups::GroupSet;
use crate::volume::state::Volume;
use crate::volume::usable::Usable;
use crate::volume::windows::{AllocationRequest, Reservation};
use kernel::alloc::Flags;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

impl GroupSet {
    /// Takes blocks from the window of the inode, without a search, if the goal is in it and `is_fit` says so of
    /// what is there. `buffer` is that of the bitmap of `group`, one of this set, where the goal is at bit `goal`.
    /// So many as `usable` says at most.
    ///
    /// The window was made when the bitmap had been checked, and the counters compared with it.
    pub(super) fn take_from_window(
        &mut self,
        volume: &Volume,
        request: &AllocationRequest<'_>,
        (group, goal): (u32, u32),
        buffer: &BufferHead,
        usable: &Usable,
        is_fit: impl FnOnce(Run) -> bool,
    ) -> Result<Option<Run>> {
        /// Bytes of the bitmap that are looked at, at most.
        const PART: usize = 256;
        let layout = volume.layout();
        let Some(window) = self.windows.of(request) else {
            return Ok(None);
        };
        let end = window.start.saturating_add(window.len);
        if !(window.start..end).contains(&request.goal) {
            return Ok(None);
        }
        // In bits of the group, and then of the part.
        let end = goal + (end - request.goal);
        let from = goal / 64 * 8;
        let bytes = end.div_ceil(64) * 8 - from;
        let mut part = [0; PART];
        let len = (bytes as usize)
            .min(PART)
            .min(buffer.size() - from as usize);
        let part = part.get_mut(..len).unwrap_or_default();
        buffer.read(from as usize, part)?;
        let end = (end - from * 8).min(len as u32 * 8);
        let counted = u32::from(volume.groups.counts(group).free_blocks);
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
        let len = usable.take(volume, found.len)?;
        let changed = bitmap::set_run(part, end, Run { len, ..run }).map_err(|_| EINVAL)?;
        self.change_counts(&volume.groups, group, |counts| {
            counts.take_blocks(group, len)
        })?;
        copy_back(buffer, from as usize, part, changed)?;
        volume.mark_buffer_dirty(buffer);
        self.store_counts(volume, group)?;
        Ok(Some(Run { len, ..found }))
    }

    /// Gives the inode the window `new`, in this set, in the place of its old one, if that is in this set, too:
    /// see [`Windows::insert`](crate::volume::windows::Windows::insert).
    pub(super) fn replace_window(
        &mut self,
        geometry: &Geometry,
        request: &AllocationRequest<'_>,
        new: Run,
        len: u32,
        flags: Flags,
    ) {
        let Some(of) = request.window else { return };
        if let Some(start) = of.give_up() {
            self.remove_window(geometry, request.ino, start);
        }
        self.windows.insert(request, new, len, flags);
    }

    /// Removes the window of the inode `ino` at block `start`, in this set, and returns it, if it is there.
    /// [`Groups::give`](crate::volume::groups::Groups::give) follows.
    pub(super) fn remove_window(
        &mut self,
        geometry: &Geometry,
        ino: u32,
        start: u32,
    ) -> Option<Run> {
        let run = self.windows.remove(ino, start)?;
        self.freed(geometry, run);
        Some(run)
    }
}

impl Volume {
    /// Takes its window from the inode `ino`, if it has one, and returns it. Takes the lock of its group; may sleep.
    pub(super) fn remove_window(&self, ino: u32, of: &Reservation) -> Option<Run> {
        let geometry = self.geometry();
        let start = of.give_up()?;
        let (group, _) = geometry.locate_block(start)?;
        let removed = self
            .groups
            .lock(group)
            .ok()?
            .remove_window(geometry, ino, start);
        self.groups.give();
        removed
    }

    /// Takes all windows from who has them. Returns whether there was one. Takes the locks of the groups; may sleep.
    pub(super) fn remove_windows(&self) -> bool {
        let mut any = false;
        self.groups.for_each_set(|set| {
            while let Some(run) = set.windows.remove_any() {
                set.freed(self.geometry(), run);
                any = true;
            }
        });
        if any {
            self.groups.give();
        }
        any
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Allocating from a reservation window, and who gets and loses one. See [`crate::volume::windows`].

use crate::ext2::bitmap::{self, Run};
use crate::ext2::Place;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::groups::GroupSet;
use crate::volume::state::Volume;
use crate::volume::usable::Usable;
use crate::volume::windows::{AllocationRequest, NewWindow, Reservation};
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// What was taken from a window.
pub(super) struct Taken {
    pub(super) run: Run,
    /// The cache of the device has nothing to write of it.
    pub(super) is_clean: bool,
}

impl GroupSet {
    /// Takes blocks from the window of the inode, without a search, if the goal is in it and `is_fit` says so of
    /// what is there. `group` is one of this set, where the goal is at bit `goal`. So many as `usable` says at most.
    ///
    /// The window was made when the bitmap had been checked, and the counters compared with it.
    pub(super) fn take_from_window(
        &self,
        volume: &Volume,
        request: &AllocationRequest<'_>,
        place: (u32, u32),
        usable: &Usable,
        is_fit: impl FnOnce(Run) -> bool,
    ) -> Result<Option<Taken>> {
        match request.len {
            // As for each block that is appended to a file.
            1 => self.take_by::<8>(volume, request, place, usable, is_fit),
            _ => self.take_by::<256>(volume, request, place, usable, is_fit),
        }
    }

    /// [`GroupSet::take_from_window`] of what is in `N` bytes of the bitmap, which are a multiple of 8.
    #[inline]
    fn take_by<const N: usize>(
        &self,
        volume: &Volume,
        request: &AllocationRequest<'_>,
        (group, goal): (u32, u32),
        usable: &Usable,
        is_fit: impl FnOnce(Run) -> bool,
    ) -> Result<Option<Taken>> {
        let layout = volume.layout();
        let Some((start, window)) = self.windows.get(request) else {
            return Ok(None);
        };
        let end = start.saturating_add(window.run(start).len);
        if !(start..end).contains(&request.goal) {
            return Ok(None);
        }
        let buffer = window.bitmap();
        // In bits of the group, and then of the part.
        let end = goal + (end - request.goal);
        let from = goal / 64 * 8;
        let bytes = end.div_ceil(64) * 8 - from;
        let mut part = [0; N];
        let len = (bytes as usize).min(N).min(buffer.size() - from as usize);
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
        Ok(Some(Taken {
            run: Run { len, ..found },
            is_clean: window.is_clean(),
        }))
    }

    /// Gives the inode the window `new`, in the group of `bitmap`, in the place of its old one, if that is in this set, too:
    /// see [`Windows::insert`](crate::volume::windows::Windows::insert).
    pub(super) fn replace_window(
        &mut self,
        volume: &Volume,
        request: &AllocationRequest<'_>,
        new: &NewWindow,
        bitmap: &BufferHead,
    ) -> bool {
        let Some(of) = request.window else {
            return false;
        };
        if let Some(start) = of.give_up() {
            self.remove_window(volume, request.ino, start);
        }
        self.windows.insert(request, new, bitmap)
    }

    /// Removes the window of the inode `ino` at block `start`, in this set, and returns it, if it is there.
    /// [`Groups::give`](crate::volume::groups::Groups::give) follows.
    pub(super) fn remove_window(&mut self, volume: &Volume, ino: u32, start: u32) -> Option<Run> {
        let run = self.windows.remove(ino, start)?;
        self.freed(&volume.groups, volume.geometry(), run);
        Some(run)
    }
}

impl Volume {
    /// Takes its window from the inode `ino`, if it has one, and returns it. Takes the lock of its group; may sleep.
    pub(super) fn remove_window(&self, ino: u32, of: &Reservation) -> Option<Run> {
        let start = of.give_up()?;
        let (group, _) = self.geometry().locate_block(start)?;
        let removed = self
            .groups
            .lock(group)
            .ok()?
            .remove_window(self, ino, start);
        self.groups.give();
        removed
    }

    /// Takes all windows from who has them. Returns whether there was one. Takes the locks of the groups; may sleep.
    pub(super) fn remove_windows(&self) -> bool {
        let mut any = false;
        self.groups.for_each_set(|set| {
            while let Some(run) = set.windows.remove_any() {
                set.freed(&self.groups, self.geometry(), run);
                any = true;
            }
        });
        if any {
            self.groups.give();
        }
        any
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Reservation windows: ranges of blocks from which one file only is extended.
//!
//! A window is a promise among the files of this mount, and nothing else: its blocks are free, and
//! counted so, and nothing of it is on the device. The file that has it takes block after block from it
//! without a search ([`Windows::get`]); a search for others goes round it ([`Windows::mark`]). It is given up when the
//! last writer closes the file, when blocks of the file are freed, and with the inode; and all are, when
//! there is nothing else left to allocate. How long they are is in [`crate::ext2::window`].
//!
//! A window lies within one group. When it is made all its blocks are free, and none of them is one that was given
//! back and may have its owner on the device: nor is one later, as the file gives its window up before it
//! gives blocks back.

use crate::ext2::bitmap::{self, Run};
use crate::ext2::window::{self, Room, Size};
use core::ops::Range;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kernel::sync::atomic::{ordering, Atomic};
use kfs::block::buffer_head::BufferHead;
use kfs::drop_in_atomic;

/// What an inode has of its window. Set by who allocates for the inode, one at a time.
pub(crate) struct Reservation {
    /// The first block of the window; 0 for none. It may have been given up since.
    start: Atomic<u32>,
    /// How long it should have been, in blocks.
    len: Atomic<u32>,
}

drop_in_atomic!(plain Reservation);

impl Reservation {
    /// No window.
    pub(crate) const fn new() -> Self {
        Reservation {
            start: Atomic::new(0),
            len: Atomic::new(0),
        }
    }

    /// Whether a window was made, and not given up.
    pub(crate) fn is_there(&self) -> bool {
        self.start().is_some()
    }

    /// The first block of the window that was made last, if it was not given up.
    pub(super) fn start(&self) -> Option<u32> {
        let start = self.start.load(ordering::Relaxed);
        (start != 0).then_some(start)
    }

    /// The same, for who gives it up: for one of them only.
    pub(super) fn give_up(&self) -> Option<u32> {
        let start = self.start.xchg(0, ordering::Relaxed);
        (start != 0).then_some(start)
    }
}

/// Who allocates, and what.
#[derive(Clone, Copy)]
pub(crate) struct AllocationRequest<'a> {
    /// The inode number.
    pub(crate) ino: u32,
    /// What of a window the inode has; `None` for an inode that gets none.
    pub(crate) window: Option<&'a Reservation>,
    /// The block that should be the first.
    pub(crate) goal: u32,
    /// How many blocks at most.
    pub(crate) len: u32,
}

impl AllocationRequest<'_> {
    /// The window that the inode needs in place of `old`, which it has had, where `room` is. `None` for an inode that
    /// gets none.
    pub(super) fn next_window(&self, old: Option<Run>, room: Room) -> Option<Size> {
        let old_len = self.window?.len.load(ordering::Relaxed);
        Some(window::next(old, old_len, self.goal, self.len, room))
    }
}

/// A window that is to be made.
pub(super) struct NewWindow {
    pub(super) run: Run,
    /// How long it should have been, in blocks.
    pub(super) wanted: u32,
    /// The cache of the device has nothing of its blocks to write, as was seen with the lock of the group. If it has, who takes
    /// some of them cleans these, and no others: another task may get the rest as soon as the lock is given back, and what that
    /// has put there would be lost.
    pub(super) is_clean: bool,
    /// Memory may be waited for.
    pub(super) may_sleep: bool,
}

pub(super) struct Window {
    len: u32,
    ino: u32,
    /// The bitmap of its group.
    bitmap: BufferHead,
    /// See [`NewWindow::is_clean`].
    is_clean: bool,
}

impl Window {
    /// Its blocks, as it begins at `start`.
    pub(super) fn run(&self, start: u32) -> Run {
        Run {
            start,
            len: self.len,
        }
    }

    /// Whether the cache of the device has nothing of its blocks to write.
    pub(super) fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// The buffer of the bitmap of its group.
    pub(super) fn bitmap(&self) -> &BufferHead {
        &self.bitmap
    }
}

/// The windows in some groups, under their lock.
pub(super) struct Windows {
    /// By the first block. They do not overlap.
    by_start: RBTree<u32, Window>,
}

impl Windows {
    /// No window yet.
    pub(super) fn new() -> Self {
        Windows {
            by_start: RBTree::new(),
        }
    }

    /// The window of an inode, and its first block, if it is one of these.
    pub(super) fn get(&self, request: &AllocationRequest<'_>) -> Option<(u32, &Window)> {
        let start = request.window?.start()?;
        let window = self.by_start.get(&start)?;
        (window.ino == request.ino).then_some((start, window))
    }

    /// The same, in blocks of the volume.
    pub(super) fn of(&self, request: &AllocationRequest<'_>) -> Option<Run> {
        let (start, window) = self.get(request)?;
        Some(window.run(start))
    }

    /// Sets the bits of those that have some in `range`, by their indices in the group that begins with block `first`, in
    /// its bitmap; but not of that from which the request may take.
    pub(super) fn mark(
        &self,
        first: u32,
        range: Range<u32>,
        request: &AllocationRequest<'_>,
        bitmap: &mut [u8],
    ) {
        let own = self.of(request).map(|run| run.start);
        let range = first.saturating_add(range.start)..first.saturating_add(range.end);
        // One that begins before the range may end in it.
        let mut from = match mutant!("window-cut") {
            true => range.start,
            false => first,
        };
        while let Some(cursor) = self.by_start.cursor_lower_bound(&from) {
            let (&start, window) = cursor.current();
            if start >= range.end {
                return;
            }
            if own != Some(start) && !mutant!("window-shared") {
                let start = start - first;
                let len = window.len;
                bitmap::mark_run(bitmap, Run { start, len });
            }
            from = start.saturating_add(window.len);
        }
    }

    /// Gives the inode the window `new`, in the group of `bitmap`. It has none, as who allocates gave up the old one. Without memory
    /// it gets none. Returns whether it has.
    pub(super) fn insert(
        &mut self,
        request: &AllocationRequest<'_>,
        new: &NewWindow,
        bitmap: &BufferHead,
    ) -> bool {
        let Some(of) = request.window else {
            return false;
        };
        let flags = match new.may_sleep {
            true => GFP_KERNEL,
            false => GFP_NOWAIT,
        };
        let Ok(place) = RBTreeNodeReservation::new(flags) else {
            return false;
        };
        let (ino, Run { start, len }) = (request.ino, new.run);
        let window = Window {
            len,
            ino,
            bitmap: bitmap.get(),
            is_clean: new.is_clean,
        };
        self.by_start.insert(place.into_node(start, window));
        of.start.store(start, ordering::Relaxed);
        of.len.store(new.wanted, ordering::Relaxed);
        true
    }

    /// Removes the window of the inode `ino` at block `start`, which [`Reservation::give_up`] has returned, and returns
    /// it, if it is there.
    pub(super) fn remove(&mut self, ino: u32, start: u32) -> Option<Run> {
        let window = self.by_start.get(&start)?;
        if window.ino != ino {
            return None;
        }
        let len = self.by_start.remove(&start)?.len;
        Some(Run { start, len })
    }

    /// Takes one window from whoever has it, and returns that. `None` when there is none.
    pub(super) fn remove_any(&mut self) -> Option<Run> {
        let cursor = self.by_start.cursor_front_mut()?;
        let (start, window) = cursor.remove_current().1.to_key_value();
        let len = window.len;
        Some(Run { start, len })
    }
}

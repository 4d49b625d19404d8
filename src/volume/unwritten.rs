// SPDX-License-Identifier: GPL-2.0

//! Metadata buffers that are not on the device yet.
//!
//! A buffer that could not be written is no longer dirty: memory reclaim may drop it, and the next
//! read gets stale metadata from the device. Blocks and inodes would be allocated twice. So each
//! buffer is held from when it is dirtied until it has been written, and those that could not be
//! written are redirtied by the next sync.
//!
//! Nobody tells when the kernel has written one. They are swept when there are many, by a sync, and
//! when memory is short: a reference keeps the page of a clean buffer, too.
//!
//! Some have to be written before others ([`Unwritten::sync_first`]):
//!
//! * those that [*release*](First::Release) something. An entry that was removed gives an inode number
//!   back, an inode or a block of pointers that was cleared gives blocks back. Until such a buffer is
//!   written, what it released belongs to its old owner on the device. So they come before that is
//!   allocated again ([`crate::volume::released`]);
//! * those of [new](First::New) inodes, which come before a directory that may have their names;
//! * new blocks [of inodes](First::OfInode), which come before those that lead to them
//!   ([`crate::volume::new_of_inodes`]).

pub(crate) use crate::volume::held::First;
use crate::volume::held::{Held, Place};
use kernel::alloc::flags::__GFP_NOWARN;
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kfs::block::buffer_head::BufferHead;
use kfs::mm::nofs::nofs;

/// The metadata buffers that are dirty, or could not be written.
#[pin_data]
pub(crate) struct Unwritten {
    #[pin]
    held: Mutex<Held>,
}

/// Whether a buffer that has just been changed was marked dirty before, and has not been written since: then who has
/// marked it holds it, or is about to. Does not sleep.
///
/// Programs that write to the device mark buffers, too, and nobody holds these: tune2fs and the superblock. They are
/// told themselves if that cannot be written.
pub(crate) fn is_marked(buffer: &BufferHead) -> bool {
    match mutant!("unwritten-in-flight") {
        true => buffer.is_unwritten(),
        false => buffer.will_be_written(),
    }
}

impl Unwritten {
    /// An initialiser; no buffer is held.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            held <- new_mutex!(Held::new()),
        })
    }

    /// Marks a buffer dirty, and holds it until it has been written. May sleep.
    pub(crate) fn mark_buffer_dirty(&self, buffer: &BufferHead) {
        if !is_marked(buffer) {
            buffer.mark_dirty();
            self.hold(buffer);
        }
    }

    /// Holds a buffer that has just been marked dirty. May sleep.
    ///
    /// Without memory it is not held: an error in writing it is then reported, but not retried.
    pub(crate) fn hold(&self, buffer: &BufferHead) {
        if mutant!("unwritten-dropped") {
            return;
        }
        self.hold_as(buffer, 0, GFP_KERNEL);
    }

    /// The same for who must not wait for memory, as that may be freed by who waits for it. May sleep.
    pub(crate) fn hold_nowait(&self, buffer: &BufferHead) {
        if mutant!("unwritten-dropped") {
            return;
        }
        // A few bytes, of those that are kept back for this. It was a page of memory that has become dirty.
        self.hold_as(buffer, 0, GFP_ATOMIC | __GFP_NOWARN);
    }

    /// [`Unwritten::hold`] for a buffer that has to be written before others. May sleep.
    ///
    /// Without memory it is written at once. If that fails, too, nothing knows of it any more, and
    /// what has to come after it does not come to the device before the volume is mounted again.
    pub(crate) fn hold_first(&self, buffer: &BufferHead, first: First) {
        if matches!(first, First::New) && mutant!("new-inode-late") {
            return self.hold(buffer);
        }
        if self.hold_as(buffer, first as u8, GFP_KERNEL) || buffer.sync_dirty().is_ok() {
            return;
        }
        if !mutant!("first-lost") {
            nofs(|| self.held.lock().add_lost(first as u8));
        }
    }

    /// Whether the buffer is held now. Memory for that is taken as `flags` say.
    fn hold_as(&self, buffer: &BufferHead, first: u8, flags: Flags) -> bool {
        nofs(|| {
            if self.held.lock().mark(buffer, first) {
                return true;
            }
            // Without the lock: who must not wait for memory takes that.
            let Ok(place) = Place::new(flags) else {
                return false;
            };
            self.held.lock().hold(place, buffer, first);
            true
        })
    }

    /// Writes a buffer to the device if it is dirty, or could not be written before, and waits. May sleep. `EIO` when the device fails.
    pub(crate) fn sync(&self, buffer: &BufferHead) -> Result {
        if buffer.has_write_error() {
            // Not when a sweep looks at it, which would take it for one that was written.
            nofs(|| {
                let _held = self.held.lock();
                if buffer.has_write_error() {
                    buffer.mark_dirty();
                }
            });
        }
        buffer.sync_dirty()
    }

    /// Whether one that has to be written first for this reason was lost. May sleep.
    pub(crate) fn has_lost(&self, why: First) -> bool {
        nofs(|| self.held.lock().lost() & why as u8 != 0)
    }

    /// Writes the buffers that have to be written first for this reason, and waits for them. May
    /// sleep. `EIO` when one cannot be written; the next call tries again, but for one that was lost.
    pub(crate) fn sync_first(&self, why: First) -> Result {
        const BATCH: usize = 16;
        let why = why as u8;
        let mut next = Some(0);
        while let Some(start) = next {
            let mut batch = [const { None }; BATCH];
            next = nofs(|| self.held.lock().first_from(start, why, &mut batch))?;
            for buffer in batch.iter().flatten() {
                buffer.write_dirty();
            }
            for buffer in batch.iter().flatten() {
                buffer.sync_dirty()?;
            }
        }
        Ok(())
    }

    /// [`Unwritten::sync_first`] for what releases something: when this returns `true`, what had been released before
    /// the call has been, on the device as well. One at a time.
    ///
    /// A buffer that is [forgotten](Unwritten::forget) before it was written is not written any more. What led to its
    /// block had been marked by then, but perhaps in a block that had been passed: so there is another pass. `false` when that has
    /// been so for several passes, as others free blocks all the time.
    pub(crate) fn sync_released(&self) -> Result<bool> {
        const PASSES: u32 = 8;
        for _ in 0..PASSES {
            nofs(|| self.held.lock().begin_pass());
            let written = self.sync_first(First::Release);
            let is_over = nofs(|| self.held.lock().end_pass(written.is_ok()));
            written?;
            if is_over {
                return Ok(true);
            }
        }
        nofs(|| self.held.lock().forget_short_passes());
        Ok(false)
    }

    /// Writes those of the `len` blocks from `start` on, which are about to be [forgotten](Unwritten::forget), that a settle waits
    /// for, if it has had to begin anew before: who frees blocks all the time would keep it from its end. Waits for the
    /// device then. One that cannot be written has it begin anew.
    pub(crate) fn write_wanted(&self, start: u32, len: u32) {
        let start = u64::from(start);
        let end = start + u64::from(len);
        let mut next = start;
        while let Some(buffer) = nofs(|| self.held.lock().next_wanted(next..end)) {
            next = buffer.block() + 1;
            // Whether it is written is looked at when it is forgotten.
            let _ = buffer.sync_dirty();
        }
    }

    /// Drops the buffers of the `len` blocks from `start` on, which are about to be freed:
    /// redirtied later, they would overwrite what the blocks are allocated for next. May sleep.
    ///
    /// Those that may be [`First::Release`] are dropped while they are still dirty, so that none is taken for written. What led to
    /// them has been marked before.
    pub(crate) fn forget(&self, start: u32, len: u32) {
        let start = u64::from(start);
        let end = start + u64::from(len);
        nofs(|| self.held.lock().forget(start..end));
    }

    /// Redirties buffers that could not be written. May sleep.
    pub(crate) fn redirty_failed(&self) {
        nofs(|| self.held.lock().redirty_failed());
    }

    /// Drops buffers that have been written. May sleep.
    pub(crate) fn sweep(&self) {
        nofs(|| self.held.lock().sweep());
    }

    /// The number of buffers that are held; 0 when they are in use. Does not sleep.
    pub(crate) fn len(&self) -> usize {
        self.held.try_lock().map_or(0, |held| held.len())
    }

    /// Drops buffers that have been written, unless they are in use, so that their memory can be
    /// reclaimed, and looks at no more than `most` of either kind for that. Returns how many. For memory reclaim: does not sleep.
    pub(crate) fn reclaim(&self, most: usize) -> usize {
        let held = self.held.try_lock();
        held.map_or(0, |mut held| held.reclaim(most))
    }
}

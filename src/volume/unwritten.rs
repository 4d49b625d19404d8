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

use core::ops::Range;
use kernel::alloc::flags::__GFP_NOWARN;
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kernel::sync::{new_mutex, Mutex};
use kfs::block::buffer_head::BufferHead;
use kfs::mm::nofs::nofs;

/// The number of held buffers from which on clean ones are swept.
const SWEEP_AT: usize = 256;

/// After so many passes of a settle what it waits for is not forgotten before it is written.
const SHORT_PASSES: u32 = 2;

/// The metadata buffers that are dirty, or could not be written.
#[pin_data]
pub(crate) struct Unwritten {
    #[pin]
    held: Mutex<Held>,
}

struct Held {
    /// By block number.
    buffers: RBTree<u64, HeldBuffer>,
    len: usize,
    /// How many of them have to be written before others, by the bits of [`First`].
    first: Counts,
    /// The same bits of those that could neither be held nor be written.
    lost: u8,
    /// The pass of [`Unwritten::sync_released`] that is the last one.
    pass: u64,
    /// In that pass a buffer was forgotten that it should have written.
    is_pass_short: bool,
    /// How many passes before it were so.
    short_passes: u32,
    sweep_at: usize,
}

struct HeldBuffer {
    buffer: BufferHead,
    /// Bits of [`First`].
    first: u8,
    /// With [`First::Release`]: the last pass when it was marked so.
    released_in: u64,
}

/// Why a buffer has to be written before others.
#[derive(Clone, Copy)]
pub(crate) enum First {
    /// It releases an inode number or blocks.
    Release = 1,
    /// It has a new inode.
    New = 2,
    /// It is a new block of extended attributes, or the first one of a new directory.
    OfInode = 4,
}

/// How many buffers have each of the bits of [`First`].
type Counts = [usize; 3];

/// Counts a buffer whose bits change.
fn count(counts: &mut Counts, old: u8, new: u8) {
    for (bit, count) in counts.iter_mut().enumerate() {
        *count += usize::from(new >> bit & 1);
        *count -= usize::from(old >> bit & 1);
    }
}

/// How many have one of these bits, at most.
fn counted(counts: &Counts, bits: u8) -> usize {
    let with = |(bit, count): (usize, &usize)| count * usize::from(bits >> bit & 1);
    counts.iter().enumerate().map(with).sum()
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
            held <- new_mutex!(Held {
                buffers: RBTree::new(),
                len: 0,
                first: [0; 3],
                lost: 0,
                pass: 0,
                is_pass_short: false,
                short_passes: 0,
                sweep_at: SWEEP_AT,
            }),
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
            nofs(|| self.held.lock().lost |= first as u8);
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
        nofs(|| self.held.lock().lost & why as u8 != 0)
    }

    /// Writes the buffers that have to be written first for this reason, and waits for them. May
    /// sleep. `EIO` when one cannot be written; the next call tries again, but for one that was lost.
    pub(crate) fn sync_first(&self, why: First) -> Result {
        const BATCH: usize = 16;
        let why = why as u8;
        let mut next = Some(0);
        while let Some(start) = next {
            let mut batch = [const { None }; BATCH];
            next = self.first_from(start, why, &mut batch)?;
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
            nofs(|| {
                let mut held = self.held.lock();
                held.pass += 1;
                held.is_pass_short = false;
            });
            let written = self.sync_first(First::Release);
            let is_over = nofs(|| {
                let held = &mut *self.held.lock();
                let is_over = !held.is_pass_short || mutant!("settled-in-one-pass");
                held.short_passes = match is_over || written.is_err() {
                    true => 0,
                    false => held.short_passes + 1,
                };
                is_over
            });
            written?;
            if is_over {
                return Ok(true);
            }
        }
        nofs(|| self.held.lock().short_passes = 0);
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

    /// Fills `batch` with such buffers, from block `start` on, and redirties them if they could not be
    /// written. Returns the block to go on from. `EIO` when one was lost.
    fn first_from(
        &self,
        start: u64,
        why: u8,
        batch: &mut [Option<BufferHead>],
    ) -> Result<Option<u64>> {
        nofs(|| {
            let held = &mut *self.held.lock();
            if held.lost & why != 0 {
                return Err(EIO);
            }
            if counted(&held.first, why) == 0 {
                return Ok(None);
            }
            let mut places = batch.iter_mut();
            let mut next = held.buffers.cursor_lower_bound_mut(&start);
            while let Some(mut cursor) = next {
                let (&block, found) = cursor.current_mut();
                if found.first & why != 0 && found.buffer.is_unwritten() {
                    let Some(place) = places.next() else {
                        return Ok(Some(block));
                    };
                    // Not when a sweep looks at it, which would take it for one that was written.
                    if found.buffer.has_write_error() {
                        found.buffer.mark_dirty();
                    }
                    *place = Some(found.buffer.get());
                } else if found.first & why != 0 {
                    count(&mut held.first, found.first, 0);
                    found.first = 0;
                }
                next = cursor.move_next();
            }
            Ok(None)
        })
    }

    /// Drops the buffers of the `len` blocks from `start` on, which are about to be freed:
    /// redirtied later, they would overwrite what the blocks are allocated for next. May sleep.
    ///
    /// Those that may be [`First::Release`] are dropped while they are still dirty, so that none is taken for written. What led to
    /// them has been marked before.
    pub(crate) fn forget(&self, start: u32, len: u32) {
        let start = u64::from(start);
        let end = start + u64::from(len);
        nofs(|| {
            let held = &mut *self.held.lock();
            while let Some(cursor) = held.buffers.cursor_lower_bound_mut(&start) {
                if *cursor.current().0 >= end {
                    break;
                }
                let (_, removed) = cursor.remove_current();
                held.len -= 1;
                let (
                    _,
                    HeldBuffer {
                        buffer,
                        first,
                        released_in,
                    },
                ) = removed.to_key_value();
                count(&mut held.first, first, 0);
                let removed = HeldBuffer {
                    buffer,
                    first,
                    released_in,
                };
                held.is_pass_short |= removed.is_wanted(held.pass);
            }
        });
    }

    /// Redirties buffers that could not be written. May sleep.
    pub(crate) fn redirty_failed(&self) {
        nofs(|| {
            let held = self.held.lock();
            for HeldBuffer { buffer, .. } in held.buffers.values() {
                if buffer.has_write_error() {
                    buffer.mark_dirty();
                }
            }
        });
    }

    /// Drops buffers that have been written. May sleep.
    pub(crate) fn sweep(&self) {
        nofs(|| self.held.lock().sweep());
    }

    /// The number of buffers that are held; 0 when they are in use. Does not sleep.
    pub(crate) fn len(&self) -> usize {
        self.held.try_lock().map_or(0, |held| held.len)
    }

    /// Drops buffers that have been written, unless they are in use, so that their memory can be
    /// reclaimed. Returns how many. For memory reclaim: does not sleep.
    pub(crate) fn reclaim(&self) -> usize {
        let Some(mut held) = self.held.try_lock() else {
            return 0;
        };
        let before = held.len;
        held.sweep();
        before.saturating_sub(held.len)
    }
}

impl HeldBuffer {
    /// Whether a settle in its pass `pass` waits for it to be written.
    fn is_wanted(&self, pass: u64) -> bool {
        self.first & First::Release as u8 != 0
            && self.released_in < pass
            && self.buffer.is_unwritten()
    }
}

/// Memory for a buffer that is held.
type Place = RBTreeNodeReservation<u64, HeldBuffer>;

impl Held {
    /// Adds bits of [`First`] to a buffer, if it is held. Returns whether it is.
    fn mark(&mut self, buffer: &BufferHead, first: u8) -> bool {
        let Some(old) = self.buffers.get_mut(&buffer.block()) else {
            return false;
        };
        let bits = old.first;
        old.first |= first;
        if bits & First::Release as u8 == 0 {
            old.released_in = self.pass;
        }
        count(&mut self.first, bits, bits | first);
        true
    }

    /// Holds a buffer, which somebody may have done meanwhile.
    fn hold(&mut self, place: Place, buffer: &BufferHead, first: u8) {
        if self.mark(buffer, first) {
            return;
        }
        if self.len >= self.sweep_at {
            self.sweep();
        }
        let new = HeldBuffer {
            buffer: buffer.get(),
            first,
            released_in: self.pass,
        };
        self.buffers.insert(place.into_node(buffer.block(), new));
        self.len += 1;
        count(&mut self.first, 0, first);
    }

    /// The first buffer of these blocks that a settle waits for, and has begun anew for others.
    fn next_wanted(&mut self, blocks: Range<u64>) -> Option<BufferHead> {
        if self.short_passes < SHORT_PASSES || mutant!("wanted-forgotten") {
            return None;
        }
        let mut next = self.buffers.cursor_lower_bound_mut(&blocks.start);
        while let Some(cursor) = next {
            let (&block, found) = cursor.current();
            if block >= blocks.end {
                return None;
            }
            if found.is_wanted(self.pass) {
                return Some(found.buffer.get());
            }
            next = cursor.move_next();
        }
        None
    }

    /// Drops buffers that have been written.
    fn sweep(&mut self) {
        let mut next = self.buffers.cursor_front_mut();
        while let Some(cursor) = next {
            next = if cursor.current().1.buffer.is_unwritten() {
                cursor.move_next()
            } else {
                let (rest, removed) = cursor.remove_current();
                self.len -= 1;
                count(&mut self.first, removed.to_key_value().1.first, 0);
                rest
            };
        }
        self.sweep_at = SWEEP_AT.max(2 * self.len);
    }
}

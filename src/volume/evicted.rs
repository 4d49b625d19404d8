// SPDX-License-Identifier: GPL-2.0

//! Inodes that left memory when not all that leads to them was on the device.
//!
//! What is not, nothing knows any more: the record of their names has left with them (see `crate::inode::names`).
//! So their numbers are *marked*, and who syncs one that is marked has to sync all names of the volume.
//! That settles all that were marked before it began. (What sync(2) has brought to the device before they left is not marked, see
//! [`crate::volume::synced_names`]; what it has since is not known here.)
//!
//! Eviction frees memory, and cannot ask for some: the marks are a Bloom filter with one hash function (Bloom,
//! "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970). A number may be taken for marked that is
//! not.

use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, new_spinlock, Mutex, SpinLock};

/// So many bits that some hundred inodes are rarely taken for another.
const BITS: u32 = 14;

/// A bit for each hash of an inode number.
type Marks = [u64; 1 << (BITS - 6)];

const NONE: Marks = [0; 1 << (BITS - 6)];

/// The marks of a volume.
#[pin_data]
pub(crate) struct Evicted {
    /// Whether there are any.
    any: Atomic<bool>,
    #[pin]
    marks: SpinLock<Generations>,
    /// Held by the sync that settles some.
    #[pin]
    settle: Mutex<()>,
}

struct Generations {
    /// Those that the sync under way does not settle.
    new: Marks,
    /// Those of before it, or before one that has failed.
    old: Marks,
}

impl Evicted {
    /// An initialiser; nothing is marked.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            any: Atomic::new(false),
            marks <- new_spinlock!(Generations { new: NONE, old: NONE }),
            settle <- new_mutex!(()),
        })
    }

    /// Marks an inode number. Does not sleep.
    pub(crate) fn mark(&self, ino: u32) {
        if mutant!("evicted-unmarked") {
            return;
        }
        let (at, bit) = place(ino);
        let marks = &mut *self.marks.lock();
        if let Some(word) = marks.new.get_mut(at) {
            *word |= bit;
        }
        self.any.store(true, ordering::Release);
    }

    /// Whether an inode number may be marked. Does not sleep.
    pub(crate) fn has(&self, ino: u32) -> bool {
        if !self.any.load(ordering::Acquire) {
            return false;
        }
        let (at, bit) = place(ino);
        let marks = self.marks.lock();
        let has = |marks: &Marks| marks.get(at).is_some_and(|word| word & bit != 0);
        has(&marks.new) || has(&marks.old)
    }

    /// If `ino` may be marked, runs `sync`, which brings all names of the volume to the device as they were when it began. If it
    /// succeeds, what was marked until then is marked no more.
    ///
    /// One at a time; may sleep. The error of `sync`.
    pub(crate) fn settle<E>(
        &self,
        ino: u32,
        sync: impl FnOnce() -> core::result::Result<(), E>,
    ) -> core::result::Result<(), E> {
        if !self.has(ino) {
            return Ok(());
        }
        let _one = self.settle.lock();
        // Another one may have done it meanwhile.
        if !self.has(ino) {
            return Ok(());
        }
        self.begin();
        let synced = sync();
        if synced.is_ok() || mutant!("evicted-settled-anyway") {
            self.end();
        }
        synced
    }

    /// All marks are old ones.
    fn begin(&self) {
        let marks = &mut *self.marks.lock();
        for (old, new) in marks.old.iter_mut().zip(&mut marks.new) {
            *old |= *new;
            *new = 0;
        }
    }

    /// The old ones are settled.
    fn end(&self) {
        let marks = &mut *self.marks.lock();
        marks.old = NONE;
        if marks.new == NONE {
            self.any.store(false, ordering::Release);
        }
    }
}

/// The word and the bit of an inode number, by Fibonacci hashing (Knuth, "The Art of Computer Programming", 6.4).
fn place(ino: u32) -> (usize, u64) {
    let hash = ino.wrapping_mul(0x9e37_79b9) >> (u32::BITS - BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

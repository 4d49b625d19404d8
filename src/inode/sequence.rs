// SPDX-License-Identifier: GPL-2.0

//! A count of changes, by which a reader without a lock sees that what it has read was changed
//! meanwhile.
//!
//! A sequence count, as the kernel's `seqcount_t`, but for what one object does not hold together:
//! the pointers in an inode and in its blocks of pointers. Readers do not wait for a change that is
//! under way, nor does a change wait for them.

use kernel::sync::atomic::{ordering, Atomic};
use kfs::compat::{smp_mb, Read, Write};
use kfs::sync::unordered::Unordered;

/// The counts of one inode.
pub(super) struct Sequence {
    /// How often pointers were stored, times two; odd while they are.
    stored: Atomic<u64>,
    /// How often pointers were cleared, and more: 0 was never.
    age: Unordered<usize>,
}

/// The changes that a reader knows of.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    stored: u64,
    /// The age of the file.
    pub(super) age: usize,
}

impl Sequence {
    /// Of an inode that has not changed.
    pub(super) fn new() -> Self {
        Sequence {
            stored: Atomic::new(0),
            age: Unordered::new(1),
        }
    }

    /// The age of the file. What was found at the same age may be what the file has. Does not sleep.
    #[inline]
    pub(super) fn age(&self) -> usize {
        self.age.load()
    }

    /// Begins to read. `None` while pointers are being stored. Does not sleep.
    pub(super) fn begin(&self) -> Option<Stamp> {
        let stored = self.stored.load(ordering::Acquire);
        (stored & 1 == 0 || mutant!("lookup-in-store")).then(|| Stamp {
            stored,
            age: self.age(),
        })
    }

    /// The count of stores. Does not sleep.
    pub(super) fn stored(&self) -> u64 {
        self.stored.load(ordering::Relaxed)
    }

    /// Whether no pointer was stored since `stamp`: what was read since then is true. Does not sleep.
    pub(super) fn is_current(&self, stamp: &Stamp) -> bool {
        smp_mb(Read);
        self.stored.load(ordering::Relaxed) == stamp.stored || mutant!("lookup-unchecked")
    }

    /// Runs `store`, which stores pointers. One task at a time, and not interrupted by readers:
    /// they would wait for it for ever.
    pub(super) fn store<T>(&self, store: impl FnOnce() -> T) -> T {
        let stored = self.stored.load(ordering::Relaxed);
        self.stored.store(stored.wrapping_add(1), ordering::Relaxed);
        smp_mb(Write);
        let result = store();
        self.stored.store(stored.wrapping_add(2), ordering::Release);
        result
    }

    /// [`Sequence::store`] for a `clear` that clears pointers. What they lead to may be freed
    /// afterwards.
    pub(super) fn clear<T>(&self, clear: impl FnOnce() -> T) -> T {
        self.store(|| {
            if !mutant!("runs-kept") {
                self.age.store(self.age.load().wrapping_add(1));
            }
            clear()
        })
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The leaf of a directory with a hash index in which names were looked for last.
//!
//! readdir(3) has the names of a leaf one after the other, and `ls -l` and `rm -r` look for them in this order. A name whose hash is one
//! of those of the last leaf is in that, so that the index need not be walked.
//!
//! It is kept in two words without a lock, for look-ups side by side: each has the leaf, by which words of different ones are told
//! apart. The hashes of a leaf change when it is split, with the inode lock held exclusively, and it is forgotten then.

use crate::ext2::directory::hash::Function;
use crate::ext2::directory::path::Range;
use kernel::sync::atomic::{ordering, Atomic};
use kfs::drop_in_atomic;

/// What is known of it.
pub(super) struct LastLeaf {
    /// The first hash, the leaf, and the function: see [`word`].
    start: Atomic<u64>,
    /// The hash that the next leaf begins with, or 0 if there is none, the leaf, and the function.
    end: Atomic<u64>,
}

drop_in_atomic!(plain LastLeaf);

/// A leaf, and the names that are looked for in it first.
#[derive(Clone, Copy)]
pub(super) struct Leaf {
    /// The function that the names are hashed with.
    pub(super) function: Function,
    /// Their hashes.
    pub(super) range: Range,
    /// The index of the leaf in the directory: not 0, and below 2^28.
    pub(super) block: u32,
}

/// A hash, with the leaf and the function.
fn word(hash: u32, leaf: &Leaf) -> u64 {
    let which = leaf.block << 4 | u32::from(leaf.function.code());
    u64::from(hash) << 32 | u64::from(which)
}

impl LastLeaf {
    /// None is known.
    pub(super) const fn new() -> Self {
        LastLeaf {
            start: Atomic::new(0),
            end: Atomic::new(0),
        }
    }

    /// The leaf, if one is known. The inode lock is held. Does not sleep.
    pub(super) fn get(&self) -> Option<Leaf> {
        let start = self.start.load(ordering::Relaxed);
        let end = self.end.load(ordering::Relaxed);
        let which = start as u32;
        if which == 0 || which != end as u32 {
            return None;
        }
        let end = (end >> 32) as u32;
        Some(Leaf {
            function: Function::from_code((which & 0xf) as u8)?,
            range: Range {
                start: (start >> 32) as u32,
                end: (end != 0).then_some(end),
            },
            block: which >> 4,
        })
    }

    /// Takes note of it. The inode lock is held. Does not sleep.
    pub(super) fn set(&self, leaf: &Leaf) {
        // A leaf behind it with the first of all hashes is one of a bad index.
        if leaf.range.end != Some(0) {
            let end = leaf.range.end.unwrap_or(0);
            let start = leaf.range.start;
            self.start.store(word(start, leaf), ordering::Relaxed);
            self.end.store(word(end, leaf), ordering::Relaxed);
        }
    }

    /// Hashes of a leaf change. The inode lock is held exclusively. Does not sleep.
    pub(super) fn forget(&self) {
        if !mutant!("leaf-kept") {
            self.start.store(0, ordering::Relaxed);
            self.end.store(0, ordering::Relaxed);
        }
    }
}

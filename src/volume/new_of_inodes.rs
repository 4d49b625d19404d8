// SPDX-License-Identifier: GPL-2.0

//! New blocks that inodes lead to, of extended attributes and the first ones of directories, and when they are on stable storage.
//!
//! On the device, a new block has what its owner of before has left there. If that was attributes of another file, or the names of
//! another directory, nobody can tell them from those of an inode that leads to the block, after a crash. So an inode is stored
//! without a new block of attributes, as pointers are without new blocks of pointers ([`crate::inode::deferred`]), until that is on
//! stable storage ([`crate::inode::stored_attributes`]); and a new directory is stored as one that is not in use ([`crate::inode::unborn`]).
//!
//! All new blocks of the volume are written together, with one flush: a tree of directories, or a directory full of files, that
//! are unpacked, or get other access control lists, costs one for each time that inodes are written back, and not one for each of them. It
//! counts in *rounds*: an inode that gets a block remembers the round, and writing ends it.

use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kfs::block::bdev::BlockDevice;
use kfs::block::buffer_head::BufferHead;
use kfs::mm::nofs::nofs;

/// Which new blocks are on stable storage.
pub(crate) struct NewOfInodes {
    /// The round that it is; 0 is before all of them.
    round: Atomic<u64>,
    /// The blocks of this round, and of those before, are on stable storage.
    settled: Atomic<u64>,
}

impl NewOfInodes {
    /// There are none.
    pub(super) const fn new() -> Self {
        NewOfInodes {
            round: Atomic::new(1),
            settled: Atomic::new(0),
        }
    }

    /// The round of an inode that gets a block now which has been marked dirty, as [`First::OfInode`] if it is new, or was written, but not
    /// flushed. Does not sleep.
    pub(crate) fn round(&self) -> u64 {
        // Who ends this round has seen that the block is held.
        self.round.fetch_add(0, ordering::Full)
    }

    /// Whether an inode with a block of this round may be stored with it; 0 for none. Does not sleep.
    pub(crate) fn is_settled(&self, round: u64) -> bool {
        round <= self.settled.load(ordering::Acquire)
    }

    /// Writes all new blocks of inodes of a volume to the device and flushes its cache. `own` is that of the inode which has to
    /// be stored, if it is in memory: what is not has been written, since what could not be is held, or [lost]. It
    /// need not be new. Sleeps. `EIO` when the device fails to write that one, also if it has failed before, or to flush, and when one is
    /// lost, which may be that one. Errors of others are for those that have them.
    ///
    /// [lost]: crate::volume::unwritten::Unwritten::hold_first
    pub(crate) fn settle(sb: &SuperBlock, own: Option<&BufferHead>) -> Result {
        let volume = sb.data();
        let new = &volume.new_of_inodes;
        nofs(|| {
            let round = new.round.fetch_add(1, ordering::Full);
            let all = volume.unwritten.sync_first(First::OfInode);
            if volume.unwritten.has_lost(First::OfInode) {
                return Err(EIO.into());
            }
            if let Some(own) = own {
                volume.unwritten.sync(own)?;
            }
            // What leads to them may be written at any time, and stay, while these are lost.
            if !mutant!("xattr-unflushed") {
                BlockDevice::of(sb).issue_flush()?;
            }
            if all.is_ok() && !mutant!("xattr-first-each") {
                new.set_settled(round);
            }
            Ok(())
        })
    }

    /// The blocks of this round are on stable storage. That of a later one may have been told before, as those who settle at once
    /// wake in any order: who was told so has the inode stored with its block, and that is not taken back. Does not sleep.
    fn set_settled(&self, round: u64) {
        if mutant!("xattr-settled-back") {
            return self.settled.store(round, ordering::Release);
        }
        let mut settled = self.settled.load(ordering::Relaxed);
        while settled < round {
            match self.settled.cmpxchg(settled, round, ordering::Full) {
                Ok(_) => return,
                Err(now) => settled = now,
            }
        }
    }
}

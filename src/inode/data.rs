// SPDX-License-Identifier: GPL-2.0

//! What an inode has in memory beside what the VFS keeps.

use crate::ext2::inode::{FastSymlink, FileType, InodeFlags};
use crate::ext2::pointers::Pointers;
use crate::ext2::run_cache::RunCache;
use crate::ext2::{Corrupt, Place};
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::Result;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, Mutex, SetOnce};
use kfs::block::buffer_head::BufferHead;
use kfs::fs::inode_lock::Exclusive;
use kfs::fs::new_inode;

/// What an inode has in memory beside what the VFS keeps.
#[pin_data]
pub(crate) struct InodeData {
    /// The block map. Whoever looks up, adds or frees blocks of the file holds its lock.
    #[pin]
    pub(crate) map: Mutex<Map>,
    flags: Atomic<u32>,
    /// Block of the extended attributes, 0 for none.
    pub(super) file_acl: Atomic<u32>,
    /// Time of deletion, 0 while the inode is in use.
    pub(super) dtime: Atomic<u32>,
    /// The place of the inode on the volume holds what an earlier inode left.
    pub(super) new: Atomic<bool>,
    pub(crate) symlink: SetOnce<FastSymlink>,
    /// Direct writes that are under way.
    direct_writes: Atomic<u32>,
}

/// The block map of an inode.
#[derive(Default)]
pub(crate) struct Map {
    /// The pointers in the inode itself.
    pub(crate) pointers: Pointers,
    /// What was looked up before; none until there is something worth keeping.
    pub(crate) runs: Option<KBox<RunCache>>,
}

impl InodeData {
    /// Initialises the data of an inode of which nothing is known yet.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            map <- new_mutex!(Map::default()),
            flags: Atomic::new(0),
            file_acl: Atomic::new(0),
            dtime: Atomic::new(0),
            new: Atomic::new(false),
            symlink: SetOnce::new(),
            direct_writes: Atomic::new(0),
        })
    }

    /// The flags, as `lsattr` shows them.
    pub(crate) fn flags(&self) -> InodeFlags {
        InodeFlags(self.flags.load(ordering::Relaxed))
    }

    pub(super) fn set_flags(&self, flags: InodeFlags) {
        self.flags.store(flags.0, ordering::Relaxed);
    }

    /// Takes away the mark of a directory with a hash index, which is not kept up to date here.
    pub(crate) fn drop_index(&self) {
        let flags = self.flags();
        if flags.has(InodeFlags::INDEX) {
            self.set_flags(InodeFlags(flags.0 & !InodeFlags::INDEX));
        }
    }

    /// Counts a direct write that begins. Only with the inode lock held exclusively.
    pub(crate) fn direct_write_begin(&self) {
        self.direct_writes.add(1, ordering::Relaxed);
    }

    /// Counts a direct write that has ended.
    pub(crate) fn direct_write_end(&self) {
        self.direct_writes.fetch_sub(1, ordering::Release);
    }

    /// Whether a direct write is under way. With the inode lock held exclusively none can begin.
    pub(crate) fn direct_writes(&self) -> bool {
        self.direct_writes.load(ordering::Acquire) != 0
    }

    /// Whether attributes are kept in a block of their own, which counts as one of the file's.
    pub(super) fn file_acl(&self) -> u32 {
        self.file_acl.load(ordering::Relaxed)
    }
}

/// The number of `inode`. All numbers of this filesystem have 32 bits.
pub(crate) fn ino32(inode: &Inode) -> u32 {
    inode.ino() as u32
}

/// The type of `inode`.
pub(crate) fn file_type(inode: &Inode) -> Result<FileType> {
    let what = "mode of no known file type";
    let found = inode.mode().into();
    FileType::from_mode(inode.mode())
        .ok_or_else(|| Corrupt::found(Place::Inode(ino32(inode)), what, found).into())
}

/// Waits until no direct write is under way. May sleep.
///
/// A buffered write of a part of a block reads the rest of the block into the page cache, and all
/// of it is written back later. A direct write to the rest that is in flight meanwhile would be
/// overtaken by that, and lost.
pub(crate) fn direct_writes_wait(inode: &InodeLocked<Exclusive>) {
    if inode.data().direct_writes() && !mutant!("part-no-wait") {
        inode.dio_wait();
    }
}

/// The flags that the VFS honours.
pub(super) fn vfs_flags(flags: InodeFlags) -> new_inode::InodeFlags {
    new_inode::InodeFlags {
        sync: flags.has(InodeFlags::SYNC),
        append: flags.has(InodeFlags::APPEND),
        immutable: flags.has(InodeFlags::IMMUTABLE),
        noatime: flags.has(InodeFlags::NOATIME),
        dirsync: flags.has(InodeFlags::DIRSYNC),
    }
}

/// Marks a buffer dirty that belongs to the block map of an inode or to a directory: an fsync of
/// the inode will write it. May sleep.
pub(crate) fn mark_buffer_dirty(inode: &Inode, buffer: &BufferHead) {
    inode.mark_buffer_dirty(buffer);
    inode.sb().data().unwritten.hold(buffer);
}

// SPDX-License-Identifier: GPL-2.0

//! Flags of inodes.

use super::file_type::FileType;

/// Flags of an inode, as `lsattr` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InodeFlags(pub(crate) u32);

impl InodeFlags {
    /// It is to be overwritten when it is deleted, which nobody does.
    const SECURE_REMOVE: u32 = 0x1;
    /// It is to be kept for undelete, which nobody does.
    const UNDELETE: u32 = 0x2;
    /// It is to be compressed, which nobody does.
    pub(crate) const COMPRESSED: u32 = 0x4;
    /// Writes to it are synchronous.
    pub(crate) const SYNC: u32 = 0x8;
    /// It cannot be changed.
    pub(crate) const IMMUTABLE: u32 = 0x10;
    /// It can only be appended to.
    pub(crate) const APPEND: u32 = 0x20;
    /// `dump` skips it.
    pub(crate) const NODUMP: u32 = 0x40;
    /// Reading it leaves its access time alone.
    pub(crate) const NOATIME: u32 = 0x80;
    /// Some of its blocks are compressed.
    const COMPRESSED_BLOCKS: u32 = 0x200;
    /// What is read of it is what is stored, compressed.
    const NO_COMPRESSION: u32 = 0x400;
    /// A directory with a hash index. Clear it when the directory is changed without the index.
    pub(crate) const INDEX: u32 = 0x1000;
    /// ext3: its data goes through the journal, too.
    const JOURNAL_DATA: u32 = 0x4000;
    /// Its tail shares no block with others, which none does.
    const NO_TAIL: u32 = 0x8000;
    /// Changes of the directory are synchronous.
    pub(crate) const DIRSYNC: u32 = 0x10000;
    /// Directories in this one are spread over the groups.
    pub(crate) const TOPDIR: u32 = 0x20000;
    /// `i_blocks` counts blocks, not sectors.
    pub(super) const HUGE_FILE: u32 = 0x40000;
    /// ext4: the place of the block pointers holds extents.
    pub(super) const EXTENTS: u32 = 0x80000;
    /// ext4: the place of the block pointers holds data.
    pub(super) const INLINE_DATA: u32 = 0x1000_0000;

    /// Flags that a new file takes over from its directory.
    const INHERITED: u32 = Self::SECURE_REMOVE
        | Self::UNDELETE
        | Self::COMPRESSED
        | Self::SYNC
        | Self::NODUMP
        | Self::NOATIME
        | Self::COMPRESSED_BLOCKS
        | Self::NO_COMPRESSION
        | Self::JOURNAL_DATA
        | Self::NO_TAIL
        | Self::DIRSYNC;

    /// Flags that users may see: `EXT2_FL_USER_VISIBLE`.
    pub(crate) const VISIBLE: u32 = 0x3_dfff;
    /// Flags that they may set.
    const MODIFIABLE: u32 = Self::SECURE_REMOVE
        | Self::UNDELETE
        | Self::COMPRESSED
        | Self::SYNC
        | Self::IMMUTABLE
        | Self::APPEND
        | Self::NODUMP
        | Self::NOATIME
        | Self::NO_TAIL
        | Self::DIRSYNC
        | Self::TOPDIR;

    /// These flags of a file of type `file_type`, of which a user sets `flags`. `None` when there is
    /// one that nobody may set on such a file, and that it does not have.
    pub(crate) const fn with_settable(self, flags: u32, file_type: FileType) -> Option<Self> {
        let possible = match file_type {
            FileType::Directory => Self::MODIFIABLE,
            FileType::Regular => Self::MODIFIABLE & !(Self::DIRSYNC | Self::TOPDIR),
            _ => Self::NODUMP | Self::NOATIME,
        };
        // Who sets one has read all, and gives those back; a directory may have got an index, or lost it, since.
        let known = match cfg!(mutant = "flag-without-effect") {
            true => Self::VISIBLE,
            false => Self::VISIBLE & (self.0 | Self::INDEX),
        };
        if flags & !(Self::MODIFIABLE & possible | known & !Self::MODIFIABLE) != 0 {
            return None;
        }
        let kept = self.0 & !Self::MODIFIABLE;
        Some(InodeFlags(kept | (flags & Self::MODIFIABLE)))
    }

    /// Whether one of the bits in `flags` is set.
    pub(crate) const fn has(self, flags: u32) -> bool {
        self.0 & flags != 0
    }

    /// The flags of a new file of type `file_type` in a directory with these flags.
    pub(crate) const fn inherit(self, file_type: FileType) -> Self {
        let inherited = self.0 & Self::INHERITED;
        InodeFlags(match file_type {
            FileType::Directory => inherited,
            FileType::Regular => inherited & !(Self::DIRSYNC | Self::TOPDIR),
            _ => inherited & (Self::NODUMP | Self::NOATIME),
        })
    }
}

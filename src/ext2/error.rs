// SPDX-License-Identifier: GPL-2.0

//! Corruption: what is wrong on the disk, and where.

use core::fmt;

/// The on-disk structure that is corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The superblock.
    Superblock,
    /// A block group: its descriptor or one of its bitmaps.
    Group(u32),
    /// An inode, by its number.
    Inode(u32),
    /// A directory entry, at a byte offset into the directory with this inode number.
    Directory {
        /// Inode number of the directory.
        ino: u32,
        /// Byte offset of the entry in the directory.
        offset: u64,
    },
    /// The block of extended attributes of an inode.
    Xattr {
        /// Inode number of the owner.
        ino: u32,
        /// The block.
        block: u32,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Place::Superblock => f.write_str("superblock"),
            Place::Group(group) => write!(f, "group {group}"),
            Place::Inode(ino) => write!(f, "inode {ino}"),
            Place::Directory { ino, offset } => write!(f, "directory {ino}, offset {offset}"),
            Place::Xattr { ino, block } => write!(f, "inode {ino}, attribute block {block}"),
        }
    }
}

/// Something on the disk violates the format.
///
/// The kernel side turns this into `EUCLEAN` and one line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt {
    place: Place,
    what: &'static str,
    found: Option<u64>,
}

impl Corrupt {
    /// `place` is corrupt. `what` says how, in words that can follow a colon.
    pub(crate) const fn new(place: Place, what: &'static str) -> Self {
        Corrupt {
            place,
            what,
            found: None,
        }
    }

    /// The number of the inode that is corrupt; `None` for structures of the volume.
    pub(crate) const fn ino(&self) -> Option<u32> {
        match self.place {
            Place::Inode(ino) | Place::Directory { ino, .. } | Place::Xattr { ino, .. } => {
                Some(ino)
            }
            Place::Superblock | Place::Group(_) => None,
        }
    }

    /// Like [`Corrupt::new`], with the value that is wrong.
    pub(crate) const fn found(place: Place, what: &'static str, found: u64) -> Self {
        Corrupt {
            place,
            what,
            found: Some(found),
        }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match self.found {
            Some(found) => write!(f, " (found {found})"),
            None => Ok(()),
        }
    }
}

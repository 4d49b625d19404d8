// SPDX-License-Identifier: GPL-2.0

//! Types of files.

/// The type of a file, from the upper four bits of its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A socket.
    Socket,
}

impl FileType {
    /// The type in `mode`; `None` when there is none such.
    pub(crate) const fn from_mode(mode: u16) -> Option<Self> {
        match mode >> 12 {
            0o01 => Some(FileType::Fifo),
            0o02 => Some(FileType::CharDevice),
            0o04 => Some(FileType::Directory),
            0o06 => Some(FileType::BlockDevice),
            0o10 => Some(FileType::Regular),
            0o12 => Some(FileType::Symlink),
            0o14 => Some(FileType::Socket),
            _ => None,
        }
    }
}

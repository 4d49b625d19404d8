// SPDX-License-Identifier: GPL-2.0

//! Where the blocks of a file are, as a filesystem says it.

/// A run of blocks of a file that follow each other on the device too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The first block on the device, in blocks of the filesystem.
    pub block: u64,
    /// How many blocks the run has, at least one.
    pub len: u32,
    /// The blocks were just allocated: on the device they hold stale data.
    pub new: bool,
}

/// What a file has from one of its blocks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Blocks.
    Mapped(Mapped),
    /// None.
    Hole {
        /// So many blocks are missing, at least one; the next one may be, too.
        len: u32,
    },
}

impl Found {
    /// How many blocks of the file it tells of, at least one.
    pub(super) fn len(&self) -> u32 {
        let (Found::Mapped(Mapped { len, .. }) | Found::Hole { len }) = *self;
        len.max(1)
    }

    /// Of the blocks that are behind the first one, if it tells of these.
    pub(super) fn rest(self) -> Option<Self> {
        let len = self.len() - 1;
        (len > 0).then_some(match self {
            Found::Mapped(run) => Found::Mapped(Mapped {
                block: run.block + 1,
                len,
                ..run
            }),
            Found::Hole { .. } => Found::Hole { len },
        })
    }
}

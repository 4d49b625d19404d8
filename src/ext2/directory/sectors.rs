// SPDX-License-Identifier: GPL-2.0

//! The sectors of a directory block.
//!
//! A device may have written some sectors of a block when the power goes, and others not. So what belongs together is
//! changed in one of them: a name is added where all its bytes, and the length of the entry before it, are in one sector,
//! and an entry is merged with the one before it only in its own sector. Blocks that are made here have a chain of entries
//! for each sector, which ends with it. Then each sector is right as it was and as it is now, whatever the others are.
//!
//! Others make blocks in which entries lie across the ends of sectors, and leave one slack behind all names. What is in
//! use there stays where it is. Slack is divided at the ends of sectors, in two steps: the entries that begin there are
//! written first, when nothing leads to them yet, and once the device has them, the entry before them is cut off. The device has
//! the block before the first step, as slack may still be a name there; and after the second one, as a sector can count on its own
//! entries from then on.

use super::sector::SECTOR;
use super::{needed, DirBlock, HEADER, SHORTEST};
use crate::ext2::Corrupt;

/// The most that a block has.
pub(super) const SECTORS_MAX: usize = (1 << 16) / SECTOR;

const _: () = assert!(needed(u8::MAX) <= SECTOR);

/// An entry that is in the way: what follows the end of its sector is its slack.
#[derive(Clone, Copy)]
pub(super) struct Slack {
    /// Where a sector begins that it does not need.
    start: usize,
    /// Where it ends.
    end: usize,
}

impl Slack {
    /// That of the entry at `offset`, which needs `used` of its `rec_len` bytes, if there is any.
    pub(super) fn of(offset: usize, used: usize, rec_len: usize) -> Option<Self> {
        let start = (offset + used.max(SHORTEST)).next_multiple_of(SECTOR);
        let end = offset + rec_len;
        (start + SHORTEST <= end).then_some(Slack { start, end })
    }

    /// Whether there would be room for an entry of `want` bytes.
    pub(super) fn has_room(&self, want: usize) -> bool {
        self.end - self.start >= want
    }

    /// The entries that it is divided into, by offset and length.
    fn entries(self) -> impl Iterator<Item = (usize, usize)> {
        let starts = (self.start..self.end).step_by(SECTOR);
        let starts = starts.take_while(move |start| start + SHORTEST <= self.end);
        starts.map(move |start| match self.end - start {
            // What is left behind the sector is too short for an entry.
            len if len < SECTOR + SHORTEST => (start, len),
            _ => (start, SECTOR),
        })
    }
}

impl DirBlock {
    /// Initialises `block` as a block without names, to be appended to the directory: with an unused entry in each sector.
    ///
    /// # Errors
    ///
    /// `block` is not of the size of a block.
    pub(crate) fn init_empty(&self, block: &mut [u8]) -> Result<(), Corrupt> {
        self.check_len(block)?;
        block.fill(0);
        for offset in (0..block.len()).step_by(SECTOR) {
            self.set_rec_len(block, offset, SECTOR)?;
        }
        Ok(())
    }

    /// The first step to divide the slack of `block`, which the device has as it is, and which [`DirBlock::find_room`] has found to be
    /// [`Undivided`](super::change::Insert::Undivided): writes entries to which nothing leads yet.
    ///
    /// # Errors
    ///
    /// An entry breaks the rules. The bytes of names are not validated.
    pub(crate) fn prepare_division(&self, block: &mut [u8]) -> Result<(), Corrupt> {
        self.each_slack(block, |at, block, _, slack| {
            for (offset, rec_len) in slack.entries() {
                if let Some(header) = block.get_mut(offset..offset + HEADER) {
                    header.fill(0);
                }
                at.set_rec_len(block, offset, rec_len)?;
            }
            Ok(())
        })
    }

    /// The second step, when the device has what the first one has written: the slack of each entry ends with a
    /// sector. Nothing is added before the device has that, too.
    ///
    /// # Errors
    ///
    /// As [`DirBlock::prepare_division`].
    pub(crate) fn divide(&self, block: &mut [u8]) -> Result<(), Corrupt> {
        self.each_slack(block, |at, block, offset, slack| {
            at.set_rec_len(block, offset, slack.start - offset)?;
            let raw = at.raw_mut(block, offset)?;
            if raw.ino.get() == 0 {
                // What is left of a name, which may be longer than the entry is now.
                raw.name_len = 0;
            }
            Ok(())
        })
    }

    /// Runs `change` on the entries of `block` that have slack behind the end of a sector, with the offset of each.
    fn each_slack(
        &self,
        block: &mut [u8],
        mut change: impl FnMut(&Self, &mut [u8], usize, Slack) -> Result<(), Corrupt>,
    ) -> Result<(), Corrupt> {
        self.check_len(block)?;
        let mut offset = 0;
        while offset < block.len() {
            let left = block.len() - offset;
            let raw = self.raw_mut(block, offset)?;
            let rec_len = self.check(raw, offset, left)?;
            if let Some(slack) = Slack::of(offset, raw.used(), rec_len) {
                change(self, block, offset, slack)?;
            }
            offset += rec_len;
        }
        Ok(())
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Writes that take turns with others in flight, at the blocks of which they write parts (`async_alloc`).

use super::Issue;
use crate::dio::filesystem::Filesystem;
use crate::dio::parking;
use crate::dio::request::Turns;
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::inode::lock::{Exclusive, InodeLocked};
use kfs::iov::IovIterSource;

/// What [`Issue::wanted_with_turns`] finds.
pub(super) enum WithTurns {
    Wanted(u32),
    At(u64),
}

impl<'a, 'call, F: Filesystem> Issue<'a, 'call, IovIterSource<'call>, F> {
    /// The write takes turns; perhaps it has some already, behind others. Fails with the error of one of
    /// these. May sleep.
    pub(in crate::dio) fn take_turns(
        &mut self,
        exclusive: &'a InodeLocked<F, Exclusive>,
    ) -> Result {
        self.exclusive = Some(exclusive);
        if let Some(turns) = F::turns(exclusive).filter(|turns| !turns.is_empty()) {
            self.request.add_turns(turns);
            parking::check(exclusive, self.request)?;
        }
        Ok(())
    }

    /// Whether the write, which ends at byte `end`, moves EOF from the midst of a block.
    pub(super) fn extends_within(&self, end: u64) -> bool {
        let (i_size, bits) = (self.request.i_size, self.bits());
        end > i_size && bits.round_down(i_size) != i_size
    }

    /// Where block `block` of the file is, if the write has a turn there; or else how many of the `wanted` blocks are before one
    /// at which it has.
    #[cold]
    pub(super) fn wanted_with_turns(
        &self,
        exclusive: &InodeLocked<F, Exclusive>,
        block: u64,
        wanted: u32,
    ) -> Result<WithTurns> {
        let turns = self.request.turns();
        if turns.first == Some(block) || turns.last == Some(block) {
            // It is not in the file, perhaps; but this write is behind the one that has it.
            let physical = F::block_with_turns(exclusive, block).ok_or(EIO)?;
            return Ok(WithTurns::At(physical));
        }
        Ok(WithTurns::Wanted(match turns.last {
            Some(last) if block < last => {
                wanted.min(u32::try_from(last - block).unwrap_or(u32::MAX))
            }
            _ => wanted,
        }))
    }

    /// The turn at block `block` of the file, if that is the first or the last one of the write.
    fn turn_at(&self, block: u64) -> Option<Turns> {
        let mut turns = Turns::default();
        if block == self.request.first_block() {
            turns.first = Some(block);
        } else if block == self.request.last_block() {
            turns.last = Some(block);
        }
        (!turns.is_empty()).then_some(turns)
    }

    /// The write has new blocks, `blocks` of the file, which begin with block `physical` of the device: if it has parts
    /// of the first one or the last one, others may be behind it there. Without memory they wait for it.
    #[cold]
    pub(super) fn take_first_turns(
        &mut self,
        exclusive: &InodeLocked<F, Exclusive>,
        blocks: Range<u64>,
        physical: u64,
    ) {
        let bits = self.bits();
        let parts = [self.request.start(), self.request.end()]
            .map(|pos| (bits.round_down(pos) != pos).then(|| bits.block(pos)));
        let [begins_in, ends_in] = parts;
        for block in [begins_in, ends_in.filter(|_| ends_in != begins_in)] {
            let Some(block) = block.filter(|block| blocks.contains(block)) else {
                continue;
            };
            let physical = physical + (block - blocks.start);
            if let (Some(turns), Ok(())) = (
                self.turn_at(block),
                F::first_turn(exclusive, block, physical, None),
            ) {
                self.request.add_turns(turns);
            }
        }
    }

    /// The write moves EOF within block `block` of the file, which is block `physical` of the device, and may take turns:
    /// others may be behind it. `ENOMEM`.
    #[cold]
    pub(super) fn extend_within(
        &mut self,
        exclusive: &InodeLocked<F, Exclusive>,
        block: u64,
        physical: u64,
    ) -> Result {
        let Some(turns) = self.turn_at(block) else {
            return self.extend_alone_within(exclusive, block, physical);
        };
        let known_to = self.request.end().min((block + 1) * self.bits().size());
        F::first_turn(exclusive, block, physical, Some(known_to))?;
        self.request.add_turns(turns);
        Ok(())
    }

    /// The same of one that others wait for.
    pub(super) fn extend_alone_within(
        &mut self,
        exclusive: &InodeLocked<F, Exclusive>,
        block: u64,
        physical: u64,
    ) -> Result {
        F::extends_within(exclusive, block, physical)?;
        self.request.new_blocks.add(block, 1);
        Ok(())
    }
}

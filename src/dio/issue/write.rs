// SPDX-License-Identifier: GPL-2.0

//! The runs of a write.

use super::turns::WithTurns;
use super::{Issue, Run};
use crate::dio::dio::Dio;
use crate::dio::extent;
use crate::dio::filesystem::{Filesystem, Mapping};
use crate::dio::policy::{Block, Stop};
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bio::{Bio, BIO_MAX_VECS};
use kfs::fs::inode::lock::{Exclusive, InodeLocked, Shared};
use kfs::iov::{IovIter, IovIterSource};

impl<'call, F: Filesystem> Issue<'_, 'call, IovIterSource<'call>, F> {
    /// Issues a write up to byte `end` of the file; returns why it stopped. With the exclusive lock,
    /// blocks may be reserved. May sleep.
    pub(in crate::dio) fn do_direct_write(
        &mut self,
        locked: &InodeLocked<F, Shared>,
        exclusive: Option<&InodeLocked<F, Exclusive>>,
        end: u64,
    ) -> Stop {
        let next = |this: &mut Self| this.write_run(locked, exclusive, end);
        self.do_direct_io(end, next, Self::issue_write)
    }

    /// Finds or reserves the next run to write; `None` at a hole inside i_size.
    fn write_run(
        &mut self,
        locked: &InodeLocked<F, Shared>,
        exclusive: Option<&InodeLocked<F, Exclusive>>,
        end: u64,
    ) -> Result<Option<Run>> {
        let (pos, bits) = (self.pos(), self.bits());
        let block = bits.block(pos);
        let eof = bits.blocks(self.request.i_size);
        let mut wanted = extent::blocks_wanted(pos, end, bits);
        if block < eof {
            wanted = wanted.min(u32::try_from(eof - block).unwrap_or(u32::MAX));
        }
        let run = |physical, len, fresh| Run {
            bytes: extent::run(pos, end, len, bits),
            physical,
            fresh,
        };
        if let (true, Some(exclusive)) = (self.request.has_turns, exclusive) {
            wanted = match self.wanted_with_turns(exclusive, block, wanted)? {
                WithTurns::Wanted(wanted) => wanted,
                WithTurns::At(physical) => return Ok(Some(run(physical, 1, false))),
            };
        }
        let (physical, len, fresh) = match self.find_or_reserve(locked, exclusive, block, wanted)? {
            Mapping::Mapped { physical, len, new } if new || block < eof => (physical, len, new),
            Mapping::Mapped { physical, len, .. } => {
                let (len, fresh) = self.found_beyond_eof(locked, block, len);
                (physical, len, fresh)
            }
            Mapping::Hole { .. } if block < eof => return Ok(None),
            Mapping::Hole { .. } => return Err(EIO),
        };
        let eof = bits.blocks(self.request.i_size);
        let blocks = block..block + u64::from(len);
        if fresh {
            self.begin_fresh(blocks, physical);
        } else if let (true, Some(exclusive)) =
            (blocks.end == eof && self.extends_within(end), exclusive)
        {
            let last = u64::from(len) - 1;
            if !self.begin_in_last_block(exclusive, block + last, physical + last)? {
                return Ok(None);
            }
        }
        Ok(Some(run(physical, len, fresh)))
    }

    /// Where at most `wanted` blocks from block `block` of the file on are. Those that the file does not have are reserved, as far as
    /// the lock allows that: `EIO` beyond EOF, if it does not.
    fn find_or_reserve(
        &mut self,
        locked: &InodeLocked<F, Shared>,
        exclusive: Option<&InodeLocked<F, Exclusive>>,
        block: u64,
        wanted: u32,
    ) -> Result<Mapping> {
        let is_inside = block < self.bits().blocks(self.request.i_size);
        let async_alloc = self.request.async_alloc;
        match exclusive {
            Some(exclusive) if async_alloc && self.iocb.is_nowait() => {
                self.reserve_nowait(exclusive, is_inside, wanted)
            }
            Some(exclusive) if !is_inside || async_alloc || mutant!("hole-direct") => {
                F::reserve(exclusive, block, wanted)
            }
            // An overwrite has nothing past i_size, which stays where it is.
            _ if !is_inside => Err(EIO),
            _ => self.map(locked, self.pos(), wanted),
        }
    }

    /// The file has `len` blocks from block `block` on, which was beyond EOF when the write began: how many of them are alike, and whether
    /// they hold stale data. A retry may have moved EOF since, without the inode lock, while memory was brought in, say. Then
    /// somebody may have stored to the hole before it through a mapping, and these blocks are of that. A store allocates nothing
    /// beyond EOF: so it says who has allocated them, if it is looked at after that.
    #[cold]
    fn found_beyond_eof(
        &mut self,
        locked: &InodeLocked<F, Shared>,
        block: u64,
        len: u32,
    ) -> (u32, bool) {
        if !mutant!("stored-taken-for-stale") {
            self.request.i_size = locked.i_size_read();
        }
        let inside = self
            .bits()
            .blocks(self.request.i_size)
            .saturating_sub(block);
        match inside {
            0 => (len, true),
            _ => (len.min(u32::try_from(inside).unwrap_or(u32::MAX)), false),
        }
    }

    /// The write has `blocks` of the file, which begin with block `physical` of the device and hold stale data.
    fn begin_fresh(&mut self, blocks: Range<u64>, physical: u64) {
        let from = self.bits().round_down(self.pos());
        self.request.outcome.new_from(from);
        let len = (blocks.end - blocks.start) as u32;
        self.request.new_blocks.add(blocks.start, len);
        // A page fault may wait for who needs the blocks that are reserved, as writeback does with the page locked.
        if self.request.async_alloc && !mutant!("memory-faults") {
            self.iter.set_nofault(true);
        }
        if let Some(exclusive) = self.exclusive {
            self.take_first_turns(exclusive, blocks, physical);
        }
    }

    /// The write moves EOF from the midst of block `block` of the file, which is block `physical` of the device. Returns
    /// whether it may: not while the page of the block is dirty, as somebody stores to it again and again. Who has the page pinned is not
    /// asked: what a device writes to it is lost, as with any direct write to a part of a page.
    fn begin_in_last_block(
        &mut self,
        exclusive: &InodeLocked<F, Exclusive>,
        block: u64,
        physical: u64,
    ) -> Result<bool> {
        match self.exclusive {
            None => self.extend_alone_within(exclusive, block, physical)?,
            Some(_) => self.extend_within(exclusive, block, physical)?,
        }
        // From now on nobody stores to the page; it may have been done since the pages of the range were dropped.
        let size = self.bits().size();
        let (start, end) = (block * size, (block + 1) * size);
        let is_dropped = mutant!("eof-page-kept")
            || self
                .iocb
                .drop_pages(start as i64, end as i64, self.may_sleep)?;
        Ok(is_dropped || mutant!("busy-page-passed"))
    }

    /// Looks up `wanted` blocks, or reserves them, for a request that must not wait.
    fn reserve_nowait(
        &mut self,
        exclusive: &InodeLocked<F, Exclusive>,
        is_inside: bool,
        wanted: u32,
    ) -> Result<Mapping> {
        let pos = self.pos();
        if is_inside {
            if let mapped @ Mapping::Mapped { .. } = self.map(exclusive, pos, wanted)? {
                return Ok(mapped);
            }
        }
        let physical = F::reserve_nowait(exclusive, self.bits().block(pos), wanted)
            .map_err(|_| self.would_block(Block::Metadata))?;
        Ok(Mapping::Mapped {
            physical,
            len: wanted,
            new: true,
        })
    }

    /// Issues the bios of a run of a write, with zeroes around the data in fresh blocks.
    fn issue_write(&mut self, run: &Run) -> Result {
        let bits = self.bits();
        if run.fresh && !mutant!("new-head") {
            self.issue_zeroes(run, extent::unwritten_head(&run.bytes, bits))?;
        }
        let issued = match self.is_copy {
            true => self.issue_data(run, Self::add_copy),
            false => self.issue_data(run, Self::add_iter),
        };
        let written = run.bytes.start..self.pos();
        if run.fresh && !written.is_empty() && !mutant!("new-tail") {
            self.issue_zeroes(run, extent::unwritten_tail(&written, bits))?;
        }
        issued
    }

    /// Issues zeroes for `bytes`, a part of the blocks of a run that the request does not write. Fails only for a request
    /// that must not wait: none of its new blocks is linked then.
    fn issue_zeroes(&mut self, run: &Run, bytes: Range<u64>) -> Result {
        let mut pos = bytes.start;
        while pos < bytes.end {
            let len = (bytes.end - pos) as usize;
            let vecs = len.div_ceil(kernel::page::PAGE_SIZE);
            let mut bio = self.dio_bio_alloc(run, pos, |_| vecs.min(BIO_MAX_VECS.into()) as u16)?;
            bio.set_hints(self.iocb);
            pos += bio.add_zeroes(len) as u64;
            self.dio_bio_submit(bio);
        }
        Ok(())
    }

    /// Adds a copy of the next `len` bytes of memory to a bio, or of as much as there is room for.
    fn add_copy(
        &mut self,
        bio: &mut Bio<IovIterSource<'call>, Dio<F>>,
        len: usize,
    ) -> Result<usize> {
        let may_wait = !self.iocb.is_nowait() || mutant!("nowait-copy-waits");
        let len_mask = self.bdev.logical_block_size() - 1;
        bio.add_copy(self.iter, len, len_mask, may_wait)
            .map_err(|error| match error == ENOMEM && !may_wait {
                true => self.would_block(Block::Memory),
                false => error,
            })
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Issuing the I/O of a request.
//!
//! All that needs the iterator is done here, in the task of the submitter: user memory is pinned
//! and all bios are built and submitted. The iterator is not used afterwards. (A read whose blocks cannot be looked up
//! in memory is [punted](super::punt).)
//!
//! By the kind of a run of blocks:
//!
//! | run | read | write |
//! | --- | --- | --- |
//! | allocated, inside i_size | bios | bios |
//! | hole, inside i_size | memory is zeroed | stop: the page cache fills it (R9); with `async_alloc` as beyond EOF |
//! | at or beyond EOF | - | reserved; bios, and zeroes for the parts of the first and last block that are not written |
//!
//! A request is aligned to sectors of the device, not to blocks of the filesystem. A partial
//! overwrite of a block needs no more than that. But a new block holds stale data, all of which is
//! overwritten before i_size exposes it. So is a block that was already allocated beyond EOF: what
//! it holds is not known either.

use super::complete::dio_bio_reap;
use super::dio::Dio;
use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping};
use super::mount::Mount;
use super::nowait::COPIES_MAX;
use super::parking;
use super::policy::{self, Block, Stop, Wait};
use super::request::{Dsync, Request, Turns};
use super::state;
use super::step::Context;
use core::convert::Infallible;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Bio, BioArc, Op, BIO_MAX_VECS, SECTOR_SIZE};
use kfs::block::plug::plugged;
use kfs::fs::inode::lock::{Exclusive, InodeLocked, Mode, Shared};
use kfs::fs::kiocb::CallIocb;
use kfs::iov::{IovIter, IovIterDest, IovIterSource, IovIterZero};
use kfs::task::{task_io_account_write, MaySleep};
use kfs::trace;

/// A run of contiguous blocks on the device that is read or written.
struct Run {
    /// The bytes of the file, cut to the request.
    bytes: Range<u64>,
    /// The number of the block with the first of them, on the device.
    physical: u64,
    /// The blocks hold stale data.
    fresh: bool,
}

/// What [`Issue::wanted_with_turns`] finds.
enum WithTurns {
    Wanted(u32),
    At(u64),
}

/// The state of a submitter while it issues a request. `I` is the direction.
pub(super) struct Issue<'a, 'call, I: IovIter<'call>, F: Filesystem> {
    dio: &'a BioArc<Dio<F>>,
    /// The bio that was allocated with the dio, until it is issued.
    first: Option<Bio<I, Dio<F>>>,
    iocb: &'a CallIocb<'call, F>,
    mount: &'a Mount<F>,
    bdev: &'a BlockDevice,
    request: &'a mut Request,
    iter: &'a mut I,
    /// Where the first blocks are, if that has been looked up already.
    known: Option<Mapping>,
    /// The number of bios issued and not waited for.
    issued: u32,
    /// A write to a device that needs stable pages: the bios get copies of the memory.
    is_copy: bool,
    /// The inode lock of a write that may take turns.
    exclusive: Option<&'a InodeLocked<F, Exclusive>>,
    /// How many bytes of copies the bios have that were not waited for.
    copied: usize,
    may_sleep: MaySleep<'a>,
}

impl<'a, 'call, I: IovIter<'call>, F: Filesystem> Issue<'a, 'call, I, F> {
    /// A submitter that has issued nothing. `first` is the bio that was allocated with `dio`.
    pub(super) fn new(
        dio: &'a BioArc<Dio<F>>,
        first: Bio<I, Dio<F>>,
        iocb: &'a CallIocb<'call, F>,
        request: &'a mut Request,
        iter: &'a mut I,
        known: Option<Mapping>,
        may_sleep: MaySleep<'a>,
    ) -> Self {
        let sb = iocb.inode().sb();
        let bdev = BlockDevice::of(sb);
        let is_copy =
            request.op == Op::Write && bdev.stable_writes() && !mutant!("unstable-writes");
        Issue {
            dio,
            first: Some(first),
            iocb,
            mount: F::dio(sb),
            bdev,
            request,
            iter,
            known,
            issued: 0,
            is_copy,
            exclusive: None,
            copied: 0,
            may_sleep,
        }
    }

    /// The number of bios to wait for.
    pub(super) fn issued(&self) -> u32 {
        self.issued
    }

    /// Issues the request up to byte `end` of the file; returns why it stopped. An error is
    /// recorded in the outcome. `next` finds the next run, `issue` issues it. May sleep.
    fn do_direct_io(
        &mut self,
        end: u64,
        next: impl Fn(&mut Self) -> Result<Option<Run>>,
        issue: impl Fn(&mut Self, &Run) -> Result,
    ) -> Stop {
        // What is in one block is in one bio.
        let several = end.saturating_sub(self.pos()) > self.bits().size();
        plugged(several, || {
            while self.pos() < end {
                let issued = match next(self) {
                    Ok(Some(run)) => issue(self, &run),
                    Ok(None) => return Stop::Hole,
                    Err(error) => Err(error),
                };
                if let Err(error) = issued {
                    let error = match self.iter.is_nofault() && error == EFAULT {
                        true if self.iocb.is_nowait() => self.would_block(Block::Memory),
                        true => return Stop::Memory,
                        false => error,
                    };
                    return self.stop(error);
                }
            }
            Stop::End
        })
    }

    /// Records an error, after which nothing more is issued.
    pub(super) fn stop(&mut self, error: Error) -> Stop {
        self.request.outcome.stop(error);
        Stop::Error
    }

    fn pos(&self) -> u64 {
        self.request.outcome.pos()
    }

    fn bits(&self) -> BlockBits {
        self.request.bits
    }

    /// The error of a request that must not wait, and would have to, for this.
    #[cold]
    fn would_block(&mut self, on: Block) -> Error {
        self.request.blocked = Some(on);
        EAGAIN
    }

    /// Looks up at most `max` blocks from that with byte `pos` on. May sleep, unless the request must
    /// not.
    fn map<M: Mode>(&mut self, locked: &InodeLocked<F, M>, pos: u64, max: u32) -> Result<Mapping> {
        let block = self.bits().block(pos);
        match self.known.take() {
            Some(known) => Ok(known),
            None if self.iocb.is_nowait() => {
                F::map_nowait(locked, block, max).map_err(|_| self.would_block(Block::Metadata))
            }
            None => F::map(locked, block, max),
        }
    }
}

impl<'call, F: Filesystem> Issue<'_, 'call, IovIterDest<'call>, F> {
    /// Issues a read up to byte `end` of the file; returns why it stopped. While the lock is held,
    /// the block map does not change. May sleep.
    pub(super) fn do_direct_read(&mut self, locked: &InodeLocked<F, Shared>, end: u64) -> Stop {
        let next = |this: &mut Self| this.read_run(locked, end);
        self.do_direct_io(end, next, |this, run| this.issue_data(run, Self::add_iter))
    }

    /// Finds the next run to read. A hole is read at once, and returned as an empty run.
    fn read_run(&mut self, locked: &InodeLocked<F, Shared>, end: u64) -> Result<Option<Run>> {
        let (pos, bits) = (self.pos(), self.bits());
        let wanted = extent::blocks_wanted(pos, end, bits);
        match self.map(locked, pos, wanted)? {
            Mapping::Mapped { physical, len, .. } => {
                let bytes = extent::run(pos, end, len, bits);
                // The caller wrote the range back, but without the inode lock. A block allocated
                // since holds stale data until its page is written back. After the look-up, so that
                // this covers every block that it found.
                let (from, to) = (bytes.start as i64, bytes.end as i64);
                if self.iocb.is_nowait() {
                    if self.iocb.range_needs_writeback(from, to) {
                        return Err(self.would_block(Block::Pages));
                    }
                } else if !mutant!("read-no-flush") {
                    self.iocb.write_and_wait_range(from, to)?;
                }
                Ok(Some(Run {
                    bytes,
                    physical,
                    fresh: false,
                }))
            }
            Mapping::Hole { len } => {
                let bytes = extent::run(pos, end, len, bits);
                let len = (bytes.end - bytes.start) as usize;
                let zeroed = if mutant!("hole-not-zeroed") {
                    len
                } else {
                    self.iter.zero(len)
                };
                let pos = bytes.start + zeroed as u64;
                self.request.outcome.issued_to(pos);
                if zeroed < len {
                    return Err(EFAULT);
                }
                Ok(Some(Run {
                    bytes: pos..pos,
                    physical: 0,
                    fresh: false,
                }))
            }
        }
    }
}

impl<'call, F: Filesystem> Issue<'_, 'call, IovIterSource<'call>, F> {
    /// Issues a write up to byte `end` of the file; returns why it stopped. With the exclusive lock,
    /// blocks may be reserved. May sleep.
    pub(super) fn do_direct_write(
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
        let wanted = extent::blocks_wanted(pos, end, bits);
        let eof = bits.blocks(self.request.i_size);

        let wanted = match block < eof {
            true => wanted.min(u32::try_from(eof - block).unwrap_or(u32::MAX)),
            false => wanted,
        };
        let wanted = match (self.request.has_turns, exclusive) {
            (true, Some(exclusive)) => match self.wanted_with_turns(exclusive, block, wanted)? {
                WithTurns::Wanted(wanted) => wanted,
                WithTurns::At(physical) => {
                    return Ok(Some(Run {
                        bytes: extent::run(pos, end, 1, bits),
                        physical,
                        fresh: false,
                    }))
                }
            },
            _ => wanted,
        };
        let mapping = match exclusive {
            Some(exclusive) if self.request.async_alloc && self.iocb.is_nowait() => {
                self.reserve_nowait(exclusive, block < eof, wanted)?
            }
            Some(exclusive)
                if block >= eof || self.request.async_alloc || mutant!("hole-direct") =>
            {
                F::reserve(exclusive, block, wanted)?
            }
            // An overwrite has nothing past i_size, which stays where it is.
            _ if block >= eof => return Err(EIO),
            _ => self.map(locked, pos, wanted)?,
        };
        match mapping {
            Mapping::Mapped { physical, len, new } => {
                let fresh = new || block >= eof;
                if fresh {
                    self.request.outcome.new_from(bits.round_down(pos));
                    self.request.new_blocks.add(block, len);
                    // A page fault may wait for who needs the blocks that are reserved, as writeback does with the page locked.
                    if self.request.async_alloc && !mutant!("memory-faults") {
                        self.iter.set_nofault(true);
                    }
                    if let Some(exclusive) = self.exclusive {
                        self.take_first_turns(exclusive, block..block + u64::from(len), physical);
                    }
                } else if let (true, Some(exclusive)) = (
                    block + u64::from(len) == eof && self.extends_within(end),
                    exclusive,
                ) {
                    let last = u64::from(len) - 1;
                    let (block, physical) = (block + last, physical + last);
                    match self.exclusive {
                        None => self.extend_alone_within(exclusive, block, physical)?,
                        Some(_) => self.extend_within(exclusive, block, physical)?,
                    }
                    // From now on nobody stores to the page; it may have been done since the pages of the range were dropped.
                    let start = block * bits.size();
                    let is_dropped = mutant!("eof-page-kept")
                        || self
                            .iocb
                            .drop_pages(start as i64, (start + bits.size()) as i64)?;
                    if !is_dropped && !mutant!("busy-page-passed") {
                        return Ok(None);
                    }
                }
                Ok(Some(Run {
                    bytes: extent::run(pos, end, len, bits),
                    physical,
                    fresh,
                }))
            }
            Mapping::Hole { .. } if block < eof => Ok(None),
            Mapping::Hole { .. } => Err(EIO),
        }
    }
}

impl<'a, 'call, F: Filesystem> Issue<'a, 'call, IovIterSource<'call>, F> {
    /// The write takes turns; perhaps it has some already, behind others. Fails with the error of one of
    /// these. May sleep.
    pub(super) fn take_turns(&mut self, exclusive: &'a InodeLocked<F, Exclusive>) -> Result {
        self.exclusive = Some(exclusive);
        if let Some(turns) = F::turns(exclusive).filter(|turns| !turns.is_empty()) {
            self.request.add_turns(turns);
            parking::check(exclusive, self.request)?;
        }
        Ok(())
    }

    /// Whether the write, which ends at byte `end`, moves EOF from the midst of a block.
    fn extends_within(&self, end: u64) -> bool {
        let (i_size, bits) = (self.request.i_size, self.bits());
        end > i_size && bits.round_down(i_size) != i_size
    }

    /// Where block `block` of the file is, if the write has a turn there; or else how many of the `wanted` blocks are before one
    /// at which it has.
    #[cold]
    fn wanted_with_turns(
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
    fn take_first_turns(
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
    fn extend_within(
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
    fn extend_alone_within(
        &mut self,
        exclusive: &InodeLocked<F, Exclusive>,
        block: u64,
        physical: u64,
    ) -> Result {
        F::extends_within(exclusive, block, physical)?;
        self.request.new_blocks.add(block, 1);
        Ok(())
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

    /// Issues zeroes for `bytes`, a part of the blocks of a run that the request does not write. Does not
    /// fail: a request that must not wait has no new blocks.
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

impl<'call, I: IovIter<'call>, F: Filesystem> Issue<'_, 'call, I, F> {
    /// Adds the next `len` bytes of memory to a bio, or as much as there is room for.
    fn add_iter(&mut self, bio: &mut Bio<I, Dio<F>>, len: usize) -> Result<usize> {
        let mem_mask = self.bdev.dma_alignment();
        let len_mask = self.bdev.logical_block_size() - 1;
        bio.add_iter(self.iter, len, mem_mask, len_mask)
    }

    /// Issues the data of a run. `add` adds it to a bio.
    fn issue_data(
        &mut self,
        run: &Run,
        add: impl Fn(&mut Self, &mut Bio<I, Dio<F>>, usize) -> Result<usize>,
    ) -> Result {
        while self.pos() < run.bytes.end {
            let pos = self.pos();
            let mut len = (run.bytes.end - pos) as usize;
            if self.iocb.is_nowait() && !mutant!("nowait-split") {
                // To split such a bio is what the block layer does not do.
                len = len.min(self.bdev.unsplit(self.sector(run, pos)));
            }
            if self.is_copy && !mutant!("copies-unlimited") {
                if self.copied >= COPIES_MAX {
                    self.dio_bio_wait()?;
                }
                // Pages that lie side by side count as one for the size of a bio.
                len = len.min(COPIES_MAX - self.copied);
            }
            let mut bio = self.dio_bio_alloc(run, pos, |iter| iter.npages(BIO_MAX_VECS, len))?;
            bio.set_hints(self.iocb);
            if self.request.dsync == Dsync::Through && !mutant!("fua-not-asked") {
                bio.set_fua();
            }
            let added = add(self, &mut bio, len)?;
            if self.is_polled(pos + added as u64) {
                bio.set_polled();
            }
            if self.request.op == Op::Write {
                task_io_account_write(added);
            }
            self.dio_bio_submit(bio);
            if self.is_copy {
                self.copied += added;
            }
            self.request.outcome.issued_to(pos + added as u64);
        }
        Ok(())
    }

    /// Whether somebody will poll for the bio that ends at byte `end`: the request is polled for, and
    /// this bio is all of it, and can be what it is left to. If the submitter waits, or syncs, it does not
    /// poll; and of several bios only one is found.
    fn is_polled(&self, end: u64) -> bool {
        let request = &self.request;
        self.iocb.is_polled()
            && (self.issued == 0 || mutant!("kfs-poll-any"))
            && end == request.end()
            && !request.dsync.is_waited_for()
            && request.new_blocks.is_empty()
            && (policy::decide(false, false, end, request.i_size, Stop::End, false) == Wait::Async
                || mutant!("poll-waited-for"))
    }

    /// Allocates a bio for byte `pos` of the file, which is in a run. `vecs` returns the number of
    /// pages it has room for.
    ///
    /// The first bio came with the dio. A request with bios in flight must not sleep for one from
    /// the reserve: all of these may belong to requests that do the same. It waits for its own bios
    /// and reaps them first; then it holds none, and may sleep. Fails for none that may wait.
    fn dio_bio_alloc(
        &mut self,
        run: &Run,
        pos: u64,
        vecs: impl FnOnce(&I) -> u16,
    ) -> Result<Bio<I, Dio<F>>> {
        let mut bio = match self.first.take() {
            Some(mut first) => {
                first.set_data(pos);
                first
            }
            None => {
                let (set, vecs) = (&self.mount.bios, vecs(self.iter));
                let must_not = self.iocb.is_nowait() && !mutant!("nowait-bio-waits");
                let available = match self.issued {
                    0 if !must_not => None,
                    _ => Bio::try_alloc(set, self.bdev, vecs, pos),
                };
                match available {
                    Some(bio) => bio,
                    None if must_not => return Err(self.would_block(Block::Memory)),
                    None => {
                        if self.issued != 0 {
                            self.dio_bio_wait()?;
                        }
                        if mutant!("reserve-bios") {
                            return Err(ENOMEM);
                        }
                        Bio::alloc(set, self.bdev, vecs, pos)
                    }
                }
            }
        };
        bio.set_sector(self.sector(run, pos));
        Ok(bio)
    }

    /// Where on the device byte `pos` of the file is, which is in the run.
    fn sector(&self, run: &Run, pos: u64) -> u64 {
        // Zeroes may begin before the bytes of the request.
        let into = pos - self.bits().round_down(run.bytes.start);
        (run.physical * self.bits().size()).wrapping_add(into) / SECTOR_SIZE
    }

    #[inline]
    fn dio_bio_submit(&mut self, bio: Bio<I, Dio<F>>) {
        let size = bio.size() as u64;
        trace::dio_bio(self.iocb.inode(), bio.data(), size, bio.sector());
        self.issued += 1;
        match (self.request.is_parked, self.exclusive) {
            (true, Some(exclusive)) => {
                parking::keep_back(exclusive, bio, self.dio.clone(), self.iocb)
            }
            _ => bio.submit(self.dio.clone(), self.iocb),
        }
    }

    /// Waits for the bios that were issued so far, and reaps them. Sleeps. Fails with the error of a request that
    /// this one is parked behind.
    pub(super) fn dio_bio_wait(&mut self) -> Result {
        let gone_on = match (self.request.is_parked, self.exclusive) {
            (true, Some(exclusive)) => parking::wait(exclusive, self.request),
            _ => Ok(()),
        };
        let mut bios = state::await_sync(self.dio, self.issued);
        let context: Context<'_, Infallible> = Ok(self.may_sleep);
        let Ok(()) = dio_bio_reap(&mut bios, &mut self.request.outcome, context);
        state::resume(self.dio);
        self.issued = 0;
        self.copied = 0;
        gone_on
    }
}

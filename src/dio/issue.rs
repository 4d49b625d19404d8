// SPDX-License-Identifier: GPL-2.0

//! Issuing the i/o of a request.
//!
//! Everything that needs the iterator happens here, in the task that made the request: user memory
//! is pinned and all bios are built and submitted. The iterator is dead afterwards.
//!
//! What happens to a run of blocks:
//!
//! | run | read | write |
//! | --- | --- | --- |
//! | allocated, inside i_size | bios | bios |
//! | hole, inside i_size | memory is zeroed | stop: the page cache fills it (R9) |
//! | at or behind the end of the file | - | allocated; bios, and zeroes for the part of the first and last block that is not written |
//!
//! A request need not be aligned to the blocks of the filesystem. Overwriting a part of a block is
//! no problem, as the device can do that. But a block that was just allocated holds what its
//! previous owner left, and all of that has to go before the block can be seen. So have blocks that
//! are found behind the end of the file, where no write of ours can have put them.

use super::extent::{self, BlockBits};
use super::filesystem::{Filesystem, Mapping, Mount};
use super::policy::Stop;
use super::request::{Dio, Request};
use super::state;
use super::worker::dio_bio_reap;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Bio, BioArc, Op, BIO_MAX_VECS, SECTOR_SIZE};
use kfs::block::plug::plugged;
use kfs::fs::inode::lock::{Exclusive, InodeLocked, Shared};
use kfs::fs::kiocb::Iocb;
use kfs::iov::IovIter;
use kfs::task::task_io_account_write;
use kfs::trace;

/// The inode lock, which block look-ups need.
pub(super) enum Locked<'a, F: Filesystem> {
    /// For a read: no blocks come or go.
    Read(&'a InodeLocked<F, Shared>),
    /// For a write: nobody else looks up blocks.
    Write(&'a InodeLocked<F, Exclusive>),
}

/// A run of blocks on the device that is read or written.
struct Run {
    /// The bytes of the file, cut to the request.
    bytes: Range<u64>,
    /// Where the block with the first of them starts on the device.
    physical: u64,
    /// The old contents of the blocks must not be seen.
    fresh: bool,
}

/// The submitter at work.
pub(super) struct Issue<'a, 'data, F: Filesystem> {
    dio: &'a BioArc<Dio<F>>,
    /// The bio behind the dio, until it is issued.
    first: Option<Bio<Dio<F>>>,
    iocb: &'a Iocb<F>,
    mount: &'a Mount<F>,
    bdev: &'a BlockDevice,
    request: &'a mut Request,
    iter: &'a mut IovIter<'data>,
    /// Bios issued and not waited for.
    issued: u32,
}

impl<'a, 'data, F: Filesystem> Issue<'a, 'data, F> {
    /// Nothing is issued yet.
    pub(super) fn new(
        dio: &'a BioArc<Dio<F>>,
        first: Bio<Dio<F>>,
        iocb: &'a Iocb<F>,
        request: &'a mut Request,
        iter: &'a mut IovIter<'data>,
    ) -> Self {
        let sb = iocb.inode().sb();
        Issue {
            dio,
            first: Some(first),
            iocb,
            mount: F::dio(sb),
            bdev: BlockDevice::of(sb),
            request,
            iter,
            issued: 0,
        }
    }

    /// How many bios there are to wait for.
    pub(super) fn issued(&self) -> u32 {
        self.issued
    }

    /// Issues the request up to byte `end` of the file, as far as that goes.
    pub(super) fn do_direct_io(&mut self, locked: &Locked<'_, F>, end: u64) -> Stop {
        plugged(|| {
            while self.pos() < end {
                let next = match locked {
                    Locked::Read(locked) => self.read_run(locked, end),
                    Locked::Write(locked) => self.write_run(locked, end),
                };
                let issued = match next {
                    Ok(Some(run)) => self.issue_run(&run),
                    Ok(None) => return Stop::Hole,
                    Err(error) => Err(error),
                };
                if let Err(error) = issued {
                    self.request.outcome.stop(error);
                    return Stop::Error;
                }
            }
            Stop::End
        })
    }

    fn pos(&self) -> u64 {
        self.request.outcome.pos()
    }

    fn bits(&self) -> BlockBits {
        self.request.bits
    }

    /// Finds the next run to read. Holes on the way are read, and may be the end of it: then the
    /// run is empty.
    fn read_run(&mut self, locked: &InodeLocked<F, Shared>, end: u64) -> Result<Option<Run>> {
        let (pos, bits) = (self.pos(), self.bits());
        let wanted = extent::blocks_wanted(pos, end, bits);
        match F::map(locked, bits.block(pos), wanted)? {
            Mapping::Mapped { physical, len, .. } => {
                let bytes = extent::run(pos, end, len, bits);
                // The caller has flushed the range, but that was before the lock. Blocks that came
                // since have their data in the page cache only. (In this order: what is flushed
                // after the look-up includes the data of every block that the look-up found.)
                if !mutant!("read-no-flush") {
                    self.iocb
                        .write_and_wait_range(bytes.start as i64, bytes.end as i64)?;
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

    /// Finds or allocates the next run to write. There is none if there is a hole inside i_size.
    fn write_run(&mut self, locked: &InodeLocked<F, Exclusive>, end: u64) -> Result<Option<Run>> {
        let (pos, bits) = (self.pos(), self.bits());
        let block = bits.block(pos);
        let wanted = extent::blocks_wanted(pos, end, bits);
        let eof = bits.blocks(self.request.i_size);

        let mapping = if block < eof && !mutant!("hole-direct") {
            let inside = u32::try_from(eof - block).unwrap_or(u32::MAX);
            F::map(locked, block, wanted.min(inside))?
        } else {
            F::allocate(locked, block, wanted)?
        };
        match mapping {
            Mapping::Mapped { physical, len, new } => {
                let fresh = new || block >= eof;
                if fresh {
                    let start = bits.round_down(pos);
                    self.request.outcome.new_from(start);
                    self.request.allocated_to = start + u64::from(len) * bits.size();
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

    /// Issues the bios for a run.
    fn issue_run(&mut self, run: &Run) -> Result {
        let bits = self.bits();
        if run.fresh && !mutant!("new-head") {
            self.issue_zeroes(run, extent::unwritten_head(&run.bytes, bits));
        }
        let issued = self.issue_data(run);
        let written = run.bytes.start..self.pos();
        if run.fresh && !written.is_empty() && !mutant!("new-tail") {
            self.issue_zeroes(run, extent::unwritten_tail(&written, bits));
        }
        issued
    }

    /// Issues the part of the request that lies in a run.
    fn issue_data(&mut self, run: &Run) -> Result {
        let mem_mask = self.bdev.dma_alignment();
        let len_mask = self.bdev.logical_block_size() - 1;
        while self.pos() < run.bytes.end {
            let pos = self.pos();
            let len = (run.bytes.end - pos) as usize;
            let mut bio = self.dio_bio_alloc(run, pos, |iter| iter.npages(BIO_MAX_VECS, len));
            bio.set_hints(self.iocb);
            let added = bio.add_iter(self.iter, len, mem_mask, len_mask)?;
            if self.request.op == Op::Write {
                task_io_account_write(added);
            }
            self.dio_bio_submit(bio);
            self.request.outcome.issued_to(pos + added as u64);
        }
        Ok(())
    }

    /// Writes zeroes to a part of the blocks of a run.
    fn issue_zeroes(&mut self, run: &Run, bytes: Range<u64>) {
        let mut pos = bytes.start;
        while pos < bytes.end {
            let len = (bytes.end - pos) as usize;
            let vecs = len.div_ceil(kernel::page::PAGE_SIZE);
            let mut bio = self.dio_bio_alloc(run, pos, |_| vecs.min(BIO_MAX_VECS.into()) as u16);
            bio.set_hints(self.iocb);
            pos += bio.add_zeroes(len) as u64;
            self.dio_bio_submit(bio);
        }
    }

    /// Gets a bio for byte `pos` of the file, which lies in a run. `vecs` says how much room it
    /// needs.
    ///
    /// The first one came with the dio. A request that has others must not wait for another one to
    /// be freed, as they all may belong to requests that wait. It waits for its own, frees them,
    /// and is then entitled to wait for others.
    fn dio_bio_alloc(
        &mut self,
        run: &Run,
        pos: u64,
        vecs: impl FnOnce(&mut IovIter<'data>) -> u16,
    ) -> Bio<Dio<F>> {
        let mut bio = match self.first.take() {
            Some(mut first) => {
                first.set_data(pos);
                first
            }
            None => {
                let (set, op, vecs) = (&self.mount.bios, self.request.op, vecs(self.iter));
                let at_hand = match self.issued {
                    0 => None,
                    _ => Bio::try_alloc(set, self.bdev, vecs, op, pos),
                };
                at_hand.unwrap_or_else(|| {
                    if self.issued != 0 {
                        self.dio_bio_wait();
                    }
                    Bio::alloc(set, self.bdev, vecs, op, pos)
                })
            }
        };
        let into = pos - self.bits().round_down(run.bytes.start);
        bio.set_sector((run.physical * self.bits().size()).wrapping_add(into) / SECTOR_SIZE);
        bio
    }

    fn dio_bio_submit(&mut self, bio: Bio<Dio<F>>) {
        let size = bio.size() as u64;
        trace::dio_bio(self.iocb.inode(), bio.data(), size, bio.sector());
        self.issued += 1;
        bio.submit(self.dio.clone(), self.iocb);
    }

    /// Waits for what was issued so far.
    pub(super) fn dio_bio_wait(&mut self) {
        let bios = state::await_sync(self.dio, self.issued);
        dio_bio_reap(bios, self.iocb, &mut self.request.outcome);
        state::resume(self.dio);
        self.issued = 0;
    }
}

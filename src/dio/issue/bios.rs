// SPDX-License-Identifier: GPL-2.0

//! The bios of a run.

use super::{Issue, Run};
use crate::dio::complete::dio_bio_reap;
use crate::dio::dio::Dio;
use crate::dio::filesystem::Filesystem;
use crate::dio::nowait::COPIES_MAX;
use crate::dio::parking;
use crate::dio::policy::{self, Block, Stop, Wait};
use crate::dio::request::Dsync;
use crate::dio::state;
use crate::dio::step::Context;
use core::convert::Infallible;
use kernel::prelude::*;
use kfs::block::bio::{Bio, Op, BIO_MAX_VECS, SECTOR_SIZE};
use kfs::iov::IovIter;
use kfs::task::task_io_account_write;
use kfs::trace;

impl<'call, I: IovIter<'call>, F: Filesystem> Issue<'_, 'call, I, F> {
    /// Adds the next `len` bytes of memory to a bio, or as much as there is room for.
    pub(super) fn add_iter(&mut self, bio: &mut Bio<I, Dio<F>>, len: usize) -> Result<usize> {
        let mem_mask = self.bdev.dma_alignment();
        let len_mask = self.bdev.logical_block_size() - 1;
        bio.add_iter(self.iter, len, mem_mask, len_mask)
    }

    /// Issues the data of a run. `add` adds it to a bio.
    pub(super) fn issue_data(
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
        let is_sync = request.is_rest && !mutant!("rest-polled");
        self.iocb.is_polled()
            && (self.issued == 0 || mutant!("kfs-poll-any"))
            && end == request.end()
            && !request.dsync.is_waited_for()
            && request.new_blocks.is_empty()
            && (policy::decide(is_sync, false, request.extends(), Stop::End, false) == Wait::Async
                || mutant!("poll-waited-for"))
    }

    /// Allocates a bio for byte `pos` of the file, which is in a run. `vecs` returns the number of
    /// pages it has room for.
    ///
    /// The first bio came with the dio. A request with bios in flight must not sleep for one from
    /// the reserve: all of these may belong to requests that do the same. It waits for its own bios
    /// and reaps them first; then it holds none, and may sleep. Fails for none that may wait.
    pub(super) fn dio_bio_alloc(
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
    pub(super) fn dio_bio_submit(&mut self, bio: Bio<I, Dio<F>>) {
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
    pub(in crate::dio) fn dio_bio_wait(&mut self) -> Result {
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

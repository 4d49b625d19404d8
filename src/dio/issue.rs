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

mod bios;
mod read;
mod turns;
mod write;

use super::dio::Dio;
use super::extent::BlockBits;
use super::filesystem::{Filesystem, Mapping};
use super::mount::Mount;
use super::policy::{Block, Stop};
use super::request::Request;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Bio, BioArc, Op};
use kfs::block::plug::plugged;
use kfs::fs::inode::lock::{Exclusive, InodeLocked, Mode};
use kfs::fs::kiocb::CallIocb;
use kfs::iov::IovIter;
use kfs::task::MaySleep;

/// A run of contiguous blocks on the device that is read or written.
struct Run {
    /// The bytes of the file, cut to the request.
    bytes: Range<u64>,
    /// The number of the block with the first of them, on the device.
    physical: u64,
    /// The blocks hold stale data.
    fresh: bool,
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

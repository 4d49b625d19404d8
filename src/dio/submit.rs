// SPDX-License-Identifier: GPL-2.0

//! The `direct_IO` operation: checks a request, and enters the worker with it.

use super::dio::Dio;
use super::dsync;
use super::extent::BlockBits;
use super::filesystem::{cached_dios, Filesystem};
use super::nowait;
use super::outcome::LEN_MAX;
use super::overwrite;
use super::policy::{Block, Wait};
use super::punt::{self, Blocks};
use super::request::Request;
use super::step::Step;
use super::worker::{direct_io_worker, Enter, Submission, Transfer, WriteLock};
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{Bio, BioArc, Op, BIO_MAX_VECS};
use kfs::fs::address_space::Direct;
use kfs::fs::kiocb::{Io, Kiocb};
use kfs::fs::super_block::SuperBlock;
use kfs::iov::IovIter;

/// The `direct_IO` operation of a filesystem: reads or writes at the position of `iocb`.
///
/// The caller of a write holds the inode lock for the whole call, shared only if the write may be an
/// overwrite: of anything else nothing is written then. A read takes the lock shared, and must be
/// called without. May sleep, unless the kiocb is `IOCB_NOWAIT`.
///
/// `EINVAL` when position, length or memory are not aligned to the logical blocks and the DMA
/// alignment of the device; `EAGAIN` for an `IOCB_NOWAIT` request that would block; or the error of
/// the request when none of it succeeded.
pub(crate) fn direct_io<'a, F: Filesystem>(
    mut iocb: Kiocb<'a, F>,
    direct: Direct<'_, 'a, F>,
) -> Result<Io<'a, F>> {
    let inode = iocb.inode();
    let sb = inode.sb();
    let bdev = BlockDevice::of(sb);
    let start = u64::try_from(iocb.pos()).map_err(|_| EINVAL)?;
    let len = direct.count(&iocb);
    let op = match &direct {
        Direct::Read(_) => Op::Read,
        Direct::Write(_, locked) if locked.is(inode) => Op::Write,
        Direct::Write(..) => return Err(EINVAL),
    };
    let mount = F::dio(sb);
    // A write may enter twice, around a fallback: `direct_write` counts it.
    if op == Op::Read && !iocb.is_nowait() {
        mount.counters.requests_read.inc();
    }
    if len == 0 || (op == Op::Read && start >= inode.i_size_read()) {
        return Ok(Io::Done(iocb, 0));
    }
    let misaligned = (start | len as u64) & u64::from(bdev.logical_block_size() - 1) != 0
        || direct.alignment(&iocb) & bdev.dma_alignment() as usize != 0;
    if misaligned && !mutant!("unaligned") {
        return Err(EINVAL);
    }

    let vecs = direct.npages(&iocb, BIO_MAX_VECS, len);
    let bits = BlockBits::new(sb.blocksize_bits());
    let request_len = u32::try_from(len).ok().filter(|&len| len <= LEN_MAX);
    let mut request = Request::new(op, bits, start, request_len.ok_or(EINVAL)?);
    let is_nowait = iocb.is_nowait();
    let mut known = None;
    let (dio, transfer) = match direct {
        Direct::Write(from, locked) => {
            let lock = WriteLock::new(locked);
            if lock.overwrite().is_some() && !is_nowait {
                known = overwrite::allocated(locked, start..start + len as u64, bits)?;
                if known.is_none() {
                    return Ok(Io::Done(iocb, 0));
                }
            }
            let (dio, first) = dio_alloc(sb, bdev, vecs, start, is_nowait)?;
            (dio, Transfer::Write(from, lock, first))
        }
        Direct::Read(to) => {
            let early = match mutant!("dio-before-lock") {
                true => Some(dio_alloc(sb, bdev, vecs, start, is_nowait)?),
                false => None,
            };
            let locked = if is_nowait && !mutant!("nowait-locks") {
                let locked = inode
                    .try_lock_shared()
                    .ok_or_else(|| nowait::would_block(sb, Block::Lock))?;
                request.i_size = locked.i_size_read();
                known = nowait::check(&iocb, to.get(&iocb), &locked, op, request.i_size, None)?;
                locked
            } else {
                let locked = inode.lock_shared();
                // Before any look-up, and once: a retry fills a hole and then moves it (`async_alloc`), with no lock that would be in its way.
                request.i_size = locked.i_size_read();
                match punt::look_up(&iocb, to.get(&iocb), &locked, request.i_size) {
                    Blocks::Known(blocks) => {
                        known = blocks;
                        locked
                    }
                    Blocks::Cold => {
                        drop(locked);
                        iocb = match punt::punt(iocb, to, request) {
                            Ok(queued) => return Ok(Io::Queued(queued)),
                            Err(iocb) => iocb,
                        };
                        let locked = inode.lock_shared();
                        request.i_size = locked.i_size_read();
                        locked
                    }
                }
            };
            let (dio, first) = match early {
                Some(early) => early,
                None => dio_alloc(sb, bdev, vecs, start, is_nowait)?,
            };
            (dio, Transfer::Read(to, locked, first))
        }
    };

    let overwrite = match &transfer {
        Transfer::Write(_, lock, _) => lock.overwrite(),
        Transfer::Read(..) => None,
    };
    request.dsync = dsync::decide(&iocb, op, overwrite);
    if is_nowait && nowait::waits_to_sync(&iocb, request.dsync) {
        return Err(nowait::would_block(sb, Block::Sync));
    }
    let submission = Submission {
        transfer,
        known,
        may_sleep: iocb.may_sleep(),
    };
    let context = Ok(iocb.may_sleep());
    match direct_io_worker(iocb, dio, request, Enter::Submit(submission), context) {
        Step::Retry(queued) => {
            if is_nowait {
                nowait::count_issued(sb, op, Wait::Async);
            }
            Ok(Io::Queued(queued))
        }
        Step::Done(iocb, result) => Ok(Io::Done(iocb, result?)),
    }
}

/// A dio, and the bio that was allocated with it.
pub(super) type WithFirst<I, F> = (BioArc<Dio<F>>, Bio<I, Dio<F>>);

/// Allocates the dio of a request, with its first bio, for `vecs` pages of memory of the type `I`.
/// With the inode lock held, of a read too: the owner of a dio must not wait for one who waits for a
/// dio (R15). May sleep, or else `EAGAIN` if there is no memory.
#[inline]
fn dio_alloc<'call, I: IovIter<'call>, F: Filesystem>(
    sb: &SuperBlock<F>,
    bdev: &BlockDevice,
    vecs: u16,
    start: u64,
    is_nowait: bool,
) -> Result<WithFirst<I, F>> {
    match BioArc::try_alloc(cached_dios(sb), bdev, vecs, start, Dio::new()) {
        Some(allocated) => Ok(allocated),
        None if is_nowait && !mutant!("nowait-no-memory") => {
            Err(nowait::would_block(sb, Block::Memory))
        }
        None if mutant!("reserve-dios") => Err(ENOMEM),
        None => {
            let dios = &F::dio(sb).dios;
            Ok(BioArc::alloc(dios, bdev, vecs, start, Dio::new()))
        }
    }
}

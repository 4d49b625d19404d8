// SPDX-License-Identifier: GPL-2.0

//! The end of a request: reaping its bios, its result, and what depends on it.

use super::dio::Bios;
use super::dio::Dio;
use super::filesystem::Filesystem;
use super::new_blocks;
use super::outcome::Outcome;
use super::report;
use super::request::{Dsync, Request};
use super::state::BioList;
use super::step::Context;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::{EndedBio, Op};
use kfs::fs::inode::lock::{Exclusive, InodeLocked};
use kfs::fs::kiocb::{Iocb, IocbMut};
use kfs::trace;

/// How many segments are reaped at most where nothing may sleep, and where something may until others
/// may run. Each takes time, and it may be an interrupt.
const SEGMENTS_MAX: usize = 256;

/// Reaps one ended bio: unpins its pages and records its status. Marking the pages of a read dirty
/// sleeps (R5): if that has to be done in a context that must not, gives the bio back.
fn dio_bio_complete<F: Filesystem, N: Copy>(
    bio: EndedBio<Dio<F>>,
    outcome: &mut Outcome<Error>,
    context: Context<'_, N>,
) -> Result<(), (EndedBio<Dio<F>>, N)> {
    let (pos, result) = match context {
        Ok(may_sleep) => bio.complete(may_sleep),
        Err(atomic) => bio.complete_atomic().map_err(|bio| (bio, atomic))?,
    };
    if let (Err(error), false) = (result, mutant!("bio-error-lost")) {
        outcome.fail(pos, error);
    }
    Ok(())
}

/// Reaps ended bios; their errors go to `outcome`. Fails if it has to sleep and must not, or takes
/// long: then `bios` has the rest.
pub(super) fn dio_bio_reap<F: Filesystem, N: Copy>(
    bios: &mut Bios<F>,
    outcome: &mut Outcome<Error>,
    context: Context<'_, N>,
) -> Result<(), N> {
    let mut segments = 0;
    while let (Some(bio), false) = (bios.pop(), mutant!("not-reaped")) {
        segments += bio.segments();
        match context {
            Err(_) if segments <= SEGMENTS_MAX || mutant!("kick-unbounded") => {}
            Err(atomic) => {
                bios.push(bio);
                return Err(atomic);
            }
            Ok(_) if segments <= SEGMENTS_MAX => {}
            Ok(may_sleep) => {
                if !mutant!("reap-unbroken") {
                    may_sleep.cond_resched();
                }
                segments = bio.segments();
            }
        }
        if let Err((bio, atomic)) = dio_bio_complete(bio, outcome, context) {
            bios.push(bio);
            return Err(atomic);
        }
    }
    Ok(())
}

/// Whether the worker syncs what was written, or flushes. A retry has no caller that would.
fn is_synced(request: &Request, is_retry: bool) -> bool {
    match request.dsync {
        Dsync::Nothing | Dsync::Through | Dsync::Flushed(_) => false,
        Dsync::Flush | Dsync::Worker => true,
        Dsync::Caller => is_retry,
    }
}

/// Fails if completing the request has to sleep, and must not: a failure is logged and reported; what
/// the page cache has of a write is invalidated; new blocks are linked; a write is synced.
fn check_context<F: Filesystem, N>(
    iocb: &Iocb<F>,
    request: &Request,
    context: Context<'_, N>,
) -> Result<(), N> {
    let Err(atomic) = context else { return Ok(()) };
    let is_write = request.op == Op::Write;
    let has_failed = request.outcome.failure().is_some() && !mutant!("kick-failed");
    let is_dsync = is_synced(request, true) && !mutant!("kick-dsync");
    let has_pages = is_write && iocb.has_pages(request.len as usize) && !mutant!("kick-cached");
    // They are linked, and i_size moves.
    let has_new_blocks = !request.new_blocks.is_empty() && !mutant!("kick-unlinked");
    match has_failed || is_dsync || has_pages || has_new_blocks {
        true => Err(atomic),
        false => Ok(()),
    }
}

/// How many bytes from the start of a write on may be other ones on the device than before, though it counts `count` only: behind a
/// bio that failed others may have succeeded, and what has failed may have been written in part.
fn may_be_written(request: &Request, count: usize) -> usize {
    // What would have had to wait may be on the device in part.
    if request.would_block().is_some() {
        return request.len as usize;
    }
    if request.outcome.failure().is_none() || mutant!("failed-cached") {
        return count;
    }
    // Blocks beyond EOF that do not count are given back.
    let end = request.outcome.pos().min(request.i_size);
    count.max(end.saturating_sub(request.start()) as usize)
}

/// Does what has to be done after the I/O and before the request completes, and returns its result:
/// bytes, or an errno. Fails, and has done nothing, if it has to sleep and must not.
///
/// `locked` is the inode lock of a write whose submitter has waited: then new blocks become a part of the
/// file, those that were not written are given back, and i_size moves, under the lock (R8). With the option
/// `async_alloc` a retry does that. The callers of a
/// submitter advance the position, fall back to buffered I/O and sync for `O_DSYNC`; for a retry
/// that is done here, but for the fallback, which none needs.
pub(super) fn dio_complete<F: Filesystem, N: Copy>(
    mut iocb: IocbMut<'_, F>,
    request: &mut Request,
    locked: Option<&InodeLocked<F, Exclusive>>,
    is_retry: bool,
    context: Context<'_, N>,
) -> Result<Result<usize>, N> {
    check_context(&iocb, request, context)?;
    let is_write = request.op == Op::Write;
    let mut is_extended = false;
    let may_extend = is_write && (locked.is_some() || !request.new_blocks.is_empty());
    if let (true, Ok(may_sleep)) = (may_extend, context) {
        if mutant!("size-before-link") {
            is_extended = iocb.extend_post_direct_write(request.count().unwrap_or(0), may_sleep);
        }
        if let Some(behind) = new_blocks::finish(iocb.inode(), locked, request, may_sleep) {
            behind.submit();
        }
    }
    let mut result = request.count();
    let count = result.unwrap_or(0);

    report::outcome(&iocb, is_write, &request.outcome, request.end(), count > 0);
    if let (true, Ok(may_sleep)) = (may_extend, context) {
        // The data is on the device, and in the file: i_size may move (R8).
        let written = if mutant!("size-of-failed") {
            request.len as usize
        } else {
            count
        };
        is_extended |= iocb.extend_post_direct_write(written, may_sleep);
        // If it has new blocks, or ends beyond EOF as that was, another one may have moved EOF over it just now.
        let comes_into_sight =
            !request.new_blocks.is_empty() || request.start() + count as u64 > request.i_size;
        if comes_into_sight && count > 0 && !is_extended && !mutant!("covered-unmarked") {
            iocb.mark_post_direct_write(may_sleep);
        }
    }

    // Not after an extend: from when i_size has moved, the pages may be dirtied with good reason.
    let is_kept = is_extended
        || is_retry && mutant!("retry-no-invalidate")
        || !request.new_blocks.is_empty() && mutant!("later-hole-kept");
    let written = may_be_written(request, count);
    // Where it must not sleep there is no page.
    if let (true, Ok(may_sleep)) = (is_write && written > 0 && !is_kept, context) {
        iocb.invalidate_post_direct_write(written, may_sleep);
    }
    // From now on its pages may be stored to.
    if !request.new_blocks.is_empty() {
        let range = request.new_blocks.range();
        match request.has_turns {
            false => F::forget(iocb.inode(), range),
            true => F::leave_turns(iocb.inode(), range, request.turns()),
        }
    }
    trace::dio_complete(
        iocb.inode(),
        request.start(),
        result.map_or_else(|error| error.to_errno().into(), |count| count as i64),
    );
    if let (true, Ok(may_sleep)) = (is_extended && mutant!("extend-dropped-twice"), context) {
        iocb.invalidate_post_direct_write(count, may_sleep);
    }
    if is_write {
        F::direct_write_end(iocb.inode());
    }
    iocb.inode_dio_end();
    let no_sync = match is_retry {
        true => mutant!("retry-no-sync"),
        false => mutant!("overwrite-no-sync"),
    };
    // Where it must not sleep none was asked for.
    if let (true, Ok(may_sleep)) = (
        count > 0 && is_synced(request, is_retry) && !no_sync,
        context,
    ) {
        result = match request.dsync {
            Dsync::Flush => BlockDevice::of(iocb.inode().sb())
                .issue_flush()
                .map(|()| count),
            _ => iocb.write_sync(count, may_sleep),
        };
    }
    if let (true, Dsync::Flushed(Err(error))) = (count > 0, request.dsync) {
        result = Err(error);
    }
    if is_retry && count > 0 {
        iocb.advance(count);
    }
    Ok(result)
}

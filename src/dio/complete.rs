// SPDX-License-Identifier: GPL-2.0

//! The end of a request: reaping its bios, its result, and what depends on it.

use super::dio::Bios;
use super::dio::Dio;
use super::filesystem::Filesystem;
use super::outcome::Outcome;
use super::report;
use super::request::Request;
use super::state::BioList;
use kernel::prelude::*;
use kfs::block::bio::{EndedBio, Op};
use kfs::fs::inode::lock::{Exclusive, InodeLocked};
use kfs::fs::kiocb::{Iocb, IocbMut};
use kfs::trace;

/// Reaps one ended bio: unpins its pages and records its status. Process context: marking the pages
/// of a read dirty sleeps (R5).
fn dio_bio_complete<F: Filesystem>(
    bio: EndedBio<Dio<F>>,
    iocb: &Iocb<F>,
    outcome: &mut Outcome<Error>,
) {
    let (pos, result) = bio.complete(iocb);
    if let (Err(error), false) = (result, mutant!("bio-error-lost")) {
        outcome.fail(pos, error);
    }
}

/// Reaps ended bios; their errors go to `outcome`. Process context; may sleep.
pub(super) fn dio_bio_reap<F: Filesystem>(
    mut bios: Bios<F>,
    iocb: &Iocb<F>,
    outcome: &mut Outcome<Error>,
) {
    while let (Some(bio), false) = (bios.pop(), mutant!("not-reaped")) {
        dio_bio_complete(bio, iocb, outcome);
    }
}

/// Does what has to be done after the I/O and before the request completes, and returns its result:
/// bytes, or an errno. May sleep.
///
/// `locked` is the inode lock of a write whose submitter has waited: then i_size moves, and blocks
/// that were allocated beyond what was written are freed, under the lock (R8). The callers of a
/// submitter advance the position, fall back to buffered I/O and sync for `O_DSYNC`; for a retry
/// that is done here, but for the fallback, which none needs.
pub(super) fn dio_complete<F: Filesystem>(
    mut iocb: IocbMut<'_, F>,
    request: &Request,
    locked: Option<&InodeLocked<F, Exclusive>>,
    is_retry: bool,
) -> Result<usize> {
    let mut result = request.count();
    let count = result.unwrap_or(0);
    let is_write = request.op == Op::Write;

    let mut is_extended = false;

    report::outcome(&iocb, is_write, &request.outcome, request.end(), count > 0);
    if let (true, Some(locked)) = (is_write, locked) {
        let end = match count {
            0 => request.i_size,
            _ => request.i_size.max(request.start() + count as u64),
        };
        if request.allocated_to > request.bits.round_up(end) && !mutant!("blocks-kept") {
            F::truncate_blocks(locked, end);
        }
        // The data is on the device: i_size may move (R8).
        let written = if mutant!("size-of-failed") {
            request.len as usize
        } else {
            count
        };
        is_extended = iocb.extend_post_direct_write(locked, written);
    }

    // Not after an extend: from when i_size has moved, the pages may be dirtied with good reason.
    let is_kept = is_extended && !mutant!("extend-dropped-twice");
    let is_kept = is_kept || is_retry && mutant!("retry-no-invalidate");
    if is_write && count > 0 && !is_kept {
        iocb.invalidate_post_direct_write(count);
    }
    trace::dio_complete(
        iocb.inode(),
        request.start(),
        result.map_or_else(|error| error.to_errno().into(), |count| count as i64),
    );
    if is_write {
        F::direct_write_end(iocb.inode());
    }
    iocb.inode_dio_end();
    if is_retry && count > 0 {
        iocb.advance(count);
        if is_write && !mutant!("retry-no-sync") {
            result = iocb.generic_write_sync(count);
        }
    }
    result
}

// SPDX-License-Identifier: GPL-2.0

//! The end of a request: its bios are reaped, and what it counts for is settled.

use super::dio::Bios;
use super::dio::Dio;
use super::filesystem::Filesystem;
use super::outcome::Outcome;
use super::report;
use super::request::Request;
use super::state::BioList;
use kernel::prelude::*;
use kfs::block::bio::{EndedBio, Op};
use kfs::fs::inode_lock::{Exclusive, InodeLocked};
use kfs::fs::kiocb::{Iocb, IocbMut};
use kfs::trace;

/// Reaps a bio: process context, as marking pages dirty sleeps (R5).
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

/// Reaps bios.
pub(super) fn dio_bio_reap<F: Filesystem>(
    mut bios: Bios<F>,
    iocb: &Iocb<F>,
    outcome: &mut Outcome<Error>,
) {
    while let (Some(bio), false) = (bios.pop(), mutant!("not-reaped")) {
        dio_bio_complete(bio, iocb, outcome);
    }
}

/// Does what has to follow the i/o before anybody hears of the request.
///
/// For a submitter, the caller does the rest: it drops what the page cache has of the range, moves
/// the position, writes to the page cache what was left to that, and syncs if asked to. For the
/// retry there is nobody else to do so.
pub(super) fn dio_complete<F: Filesystem>(
    mut iocb: IocbMut<'_, F>,
    request: &Request,
    locked: Option<&InodeLocked<F, Exclusive>>,
    is_retry: bool,
) -> Result<usize> {
    let mut result = request.count();
    let count = result.unwrap_or(0);
    let is_write = request.op == Op::Write;

    report::outcome(&iocb, is_write, &request.outcome, request.end(), count > 0);
    if let (true, Some(locked)) = (is_write, locked) {
        let end = match count {
            0 => request.i_size,
            _ => request.i_size.max(request.start() + count as u64),
        };
        if request.allocated_to > request.bits.round_up(end) && !mutant!("blocks-kept") {
            F::truncate_blocks(locked, end);
        }
        // The data is on the device: now it may be seen (R8).
        let written = if mutant!("size-of-failed") {
            request.len as usize
        } else {
            count
        };
        iocb.extend_post_direct_write(locked, written);
    }

    if is_retry && is_write && count > 0 && !mutant!("retry-no-invalidate") {
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

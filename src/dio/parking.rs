// SPDX-License-Identifier: GPL-2.0

//! Requests that are parked.
//!
//! With the option `async_alloc` several requests in flight may write parts of one block, each behind the one before
//! it: see [`Filesystem::turns`]. One whose turn has not come is issued all the same by its submitter, with the
//! inode lock held: memory is pinned, and all bios are built. But these are kept back, and the filesystem submits
//! them when the one before it has been linked: the step that links does that, and needs nothing for it that it would
//! have to wait for. For the dio they are in flight. So the submitter leaves, and from there on the request is as any
//! other.
//!
//! If the one before it fails, its block may have been given back, and the bios fail with its error. What they
//! were to write is not there, and neither is what was to be before it.
//!
//! All is out of line: a request that is not parked finds one flag.

use super::dio::Dio;
use super::filesystem::Filesystem;
use super::request::Request;
use kernel::prelude::*;
use kfs::block::bio::{Bio, BioArc, Lends};
use kfs::fs::inode::lock::{Exclusive, InodeLocked};
use kfs::iov::IovIter;

/// Says whether a request that has turns has to be parked. Fails with the error of one before it. May sleep.
#[cold]
pub(super) fn check<F: Filesystem>(
    locked: &InodeLocked<F, Exclusive>,
    request: &mut Request,
) -> Result {
    let have_come = F::turns_have_come(locked, request.turns())?;
    request.is_parked = !have_come && !mutant!("parked-early");
    Ok(())
}

/// Keeps a bio of such a request back. May sleep.
#[cold]
pub(super) fn keep_back<'call, F: Filesystem, I: IovIter<'call>, L: Lends<'call, Dio<F>>>(
    locked: &InodeLocked<F, Exclusive>,
    bio: Bio<I, Dio<F>>,
    dio: BioArc<Dio<F>>,
    lender: &L,
) {
    F::keep_back(locked, bio.keep_back(dio, lender));
}

/// Leaves its bios, of which there are some, to the filesystem. The request is armed, and may be completed before
/// this returns. May sleep.
#[cold]
pub(super) fn park<F: Filesystem>(locked: &InodeLocked<F, Exclusive>, request: &Request) {
    F::dio(locked.sb()).counters.parked.inc();
    F::park(locked, request.turns());
}

/// For a submitter that has to wait: waits until the turns have come, and submits the bios. If one before it has
/// failed, they fail, and so does this, with its error. Sleeps.
#[cold]
pub(super) fn wait<F: Filesystem>(
    locked: &InodeLocked<F, Exclusive>,
    request: &mut Request,
) -> Result {
    request.is_parked = false;
    F::wait_for_turns(locked, request.turns())
}

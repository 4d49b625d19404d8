// SPDX-License-Identifier: GPL-2.0

//! What a write does about `O_DSYNC`.
//!
//! An overwrite changes nothing but its data, and times, which `O_DSYNC` does not ask for. If what leads
//! to the data is on stable storage already, and the device can write through its cache (`REQ_FUA`), its
//! bios do that, or need not, as there is no such cache: the request is complete when they have ended.
//! If the device cannot, its cache is flushed then, by one flush for all that have ended (see [`super::flush`]).
//! Otherwise the file is synced, which flushes all of the cache, too.
//!
//! A write that extends the file, or fills a hole, is always synced. Pointers, i_size and the inode are
//! written after its data and have to come to the medium, too: so there is a flush anyway. Writing the
//! data through would save the one before it, at the price of a slow write for each bio; and pointers
//! would have to be told apart by whether there is data of others behind them that is in the cache.

use super::filesystem::Filesystem;
use super::request::Dsync;
use kfs::block::bdev::BlockDevice;
use kfs::block::bio::Op;
use kfs::fs::inode::lock::{InodeLocked, Shared};
use kfs::fs::kiocb::Iocb;

/// What a request does. `overwrite` is the inode lock of an overwrite, whose blocks have been looked up
/// with it. Does not sleep.
#[inline(always)]
pub(super) fn decide<F: Filesystem>(
    iocb: &Iocb<F>,
    op: Op,
    overwrite: Option<&InodeLocked<F, Shared>>,
) -> Dsync {
    if op == Op::Read || !iocb.is_dsync() {
        return Dsync::Nothing;
    }
    let Some(locked) = overwrite else {
        return Dsync::Caller;
    };
    if iocb.is_sync_all() || !F::is_durable(locked) {
        return Dsync::Worker;
    }
    match BlockDevice::of(locked.sb()).can_write_through() {
        true => Dsync::Through,
        false if mutant!("flush-by-fsync") => Dsync::Worker,
        false => Dsync::Flush,
    }
}

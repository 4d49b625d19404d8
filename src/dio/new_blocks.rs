// SPDX-License-Identifier: GPL-2.0

//! The new blocks of a write: reserved, written, and then linked.
//!
//! A new block holds stale data. While the worker issues a request it *reserves* the blocks that are
//! missing: nobody finds them, neither in memory nor on the device. When all bios of the request have
//! ended, the blocks that were written are *linked*, so that they are a part of the file, and the others
//! are given back, without ever having been in it. Only then i_size moves. This is done by the submitter,
//! which waits for it with the inode lock held, or, with the option `async_alloc`, by the retry. So there is no moment, not even
//! when the power goes, at which a pointer leads to a block without its data.

use super::filesystem::Filesystem;
use super::request::Request;
use kfs::block::bio::ReadyBios;
use kfs::fs::inode::lock::{Exclusive, InodeLocked};
use kfs::fs::inode::Inode;
use kfs::task::MaySleep;

/// Links the new blocks of a write of which all bios have been reaped, as far as they count, and gives
/// back the others. If that fails, the outcome has the error. `locked` is the inode lock, if the submitter
/// has waited. If it has turns, returns bios of other requests, to be submitted: of those that were parked behind
/// this one, if it has not failed. May sleep; takes neither the inode lock nor a folio lock.
pub(super) fn finish<F: Filesystem>(
    inode: &Inode<F>,
    locked: Option<&InodeLocked<F, Exclusive>>,
    request: &mut Request,
    _: MaySleep<'_>,
) -> Option<ReadyBios> {
    if !request.new_blocks.is_pending() {
        return None;
    }
    request.new_blocks.is_finished = true;
    if !request.new_blocks.range().is_empty() {
        link(inode, locked, request);
    }
    request
        .has_turns
        .then(|| F::pass_turns(inode, request.turns(), request.failure()))
}

/// Links those that the request has reserved itself, as far as they count.
fn link<F: Filesystem>(
    inode: &Inode<F>,
    locked: Option<&InodeLocked<F, Exclusive>>,
    request: &mut Request,
) {
    let is_refused = request.would_block().is_some() && !mutant!("refused-linked");
    // It has ended late: its submitter would have known, and this is nothing new.
    if is_refused && request.is_at_end && !request.has_turns && !mutant!("refused-late-extends") {
        F::refused(inode, request.start()..request.end());
    }
    let (bits, outcome) = (request.bits, &mut request.outcome);
    // The first block may begin before the write, and is not written if nothing of that is.
    let end = match outcome.end(bits) {
        // It will be made again as a whole, perhaps elsewhere; and nobody has seen to it that what it wrote ends with a block.
        _ if is_refused => bits.block(outcome.start()),
        end if end == outcome.start() && !mutant!("unwritten-linked") => bits.block(end),
        end => bits.blocks(end),
    };
    if let (Err((block, error)), false) = (
        F::finish(inode, locked, request.new_blocks.range(), end),
        mutant!("link-failed-kept"),
    ) {
        outcome.fail(block * bits.size(), error);
    }
}

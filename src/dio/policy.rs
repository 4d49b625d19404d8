// SPDX-License-Identifier: GPL-2.0

//! When a submitter has to wait for its request (R7).
//!
//! Decided after the I/O was issued, when it is known where the worker stopped and why. An
//! asynchronous request is left to the retry unless it has to complete under the inode lock, which
//! only the task that took it can release:
//!
//! * it is a write that ends past i_size: the lock is held until the data is on the device and i_size is updated. With the
//!   option `async_alloc` the retry does that, if the write has new blocks;
//! * it stopped at a hole: the rest falls back to buffered I/O, after the bios in flight have
//!   ended;
//! * it stopped at memory that has to be brought in, with blocks reserved: these are linked first, see
//!   [`super::write`];
//! * it stopped at an error: blocks that were allocated beyond what was written are freed.
//!
//! A request that must not wait has none of these reasons: one with new blocks is made only if they are left to its retry, and an
//! error has it come to nothing.

/// Why the worker stopped issuing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Everything was issued.
    End,
    /// There is a hole inside i_size, which direct writes do not fill.
    Hole,
    /// Memory would have to be brought in, for which it must not wait, as it has reserved blocks.
    Memory,
    /// Looking up blocks, allocating them or pinning memory failed.
    Error,
}

/// Why an asynchronous request became synchronous. The numbers are those of the trace point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is a write that ends past i_size.
    Extend = 0,
    /// It stopped at a hole.
    Hole = 1,
    /// It stopped at an error.
    Error = 2,
    /// It stopped at memory that has to be brought in.
    Memory = 3,
}

/// How a submitter waits for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: it is left to the retry.
    Async,
    /// Sleep: the request is synchronous.
    Sync,
    /// Sleep, although the request is asynchronous.
    Switch(Reason),
}

/// What a request that must not wait would block on.
#[derive(Clone, Copy)]
pub(crate) enum Block {
    /// The lock of the inode.
    Lock,
    /// Reading metadata, or writing it: a block of pointers that is not in memory, set-id bits to take
    /// away.
    Metadata,
    /// Blocks to be allocated: a hole, an extend.
    Blocks,
    /// Pages of the range: dirty ones for a direct read, any for a direct write; or, through the page
    /// cache, those that are not there, or are in use.
    Pages,
    /// The flush for `O_DSYNC`, of a synchronous request, or through the page cache.
    Sync,
    /// Memory for the request: its dio, a bio, a copy of what it writes, or a page.
    Memory,
    /// Room in the queue of the device; or it cannot be asked not to wait.
    Device,
}

/// Decides how to wait for a request that stopped for the reason `stop`. `is_sync`: it
/// is synchronous, or the rest of one of which the submitter has done a part.
///
/// `extends`: it is a write, and ends past the i_size that there was at the look-up of the blocks, under the inode lock. `must_not`:
/// the request must not wait. `retry_extends`: the retry may move i_size.
pub(crate) fn decide(
    is_sync: bool,
    must_not: bool,
    extends: bool,
    stop: Stop,
    retry_extends: bool,
) -> Wait {
    if is_sync {
        return Wait::Sync;
    }
    match stop {
        Stop::End | Stop::Error if must_not && !mutant!("nowait-waits") => Wait::Async,
        Stop::Error if !mutant!("error-async") => Wait::Switch(Reason::Error),
        Stop::Hole if !mutant!("hole-async") => Wait::Switch(Reason::Hole),
        Stop::Memory => Wait::Switch(Reason::Memory),
        Stop::End if retry_extends && !mutant!("append-waits") => Wait::Async,
        Stop::End if mutant!("overwrite-waits") => Wait::Switch(Reason::Extend),
        Stop::End if extends && !mutant!("extend-async") => Wait::Switch(Reason::Extend),
        _ => Wait::Async,
    }
}

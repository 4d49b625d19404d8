// SPDX-License-Identifier: GPL-2.0

//! When a request has to be waited for before its submitter returns (R7).
//!
//! Decided after the i/o was issued, when it is known where the worker stopped and why. An
//! asynchronous request is left to the retry unless something other than its own bios depends on
//! its end:
//!
//! * it ends beyond i_size: the inode lock must be held until the data is on the device and i_size
//!   is updated, and only the task that took the lock can release it;
//! * it stopped at a hole: the rest goes through the page cache, and must not do so before the
//!   bios that were issued have landed;
//! * it stopped at an error: what was allocated for it must be given back, under the lock.

/// Why the worker stopped issuing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Everything was issued.
    End,
    /// There is a hole inside i_size: direct writes do not fill it.
    Hole,
    /// Looking up blocks, allocating them or pinning memory failed.
    Error,
}

/// What made an asynchronous request wait. The numbers are those in the trace point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It ends beyond i_size.
    Extend = 0,
    /// It stopped at a hole.
    Hole = 1,
    /// It stopped at an error.
    Error = 2,
}

/// How to wait for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Leave it to the retry.
    Async,
    /// Sleep: the caller asked for it.
    Sync,
    /// Sleep, although the caller asked for an asynchronous request.
    Switch(Reason),
}

/// Decides how to wait for a request that ends at `end` in a file of `i_size` bytes.
///
/// Both are as of the time when the blocks were looked up, under the inode lock.
pub(crate) fn decide(is_sync: bool, end: u64, i_size: u64, stop: Stop) -> Wait {
    if is_sync {
        return Wait::Sync;
    }
    match stop {
        Stop::Error if !mutant!("error-async") => Wait::Switch(Reason::Error),
        Stop::Hole if !mutant!("hole-async") => Wait::Switch(Reason::Hole),
        Stop::End if mutant!("overwrite-waits") => Wait::Switch(Reason::Extend),
        Stop::End if end > i_size && !mutant!("extend-async") => Wait::Switch(Reason::Extend),
        _ => Wait::Async,
    }
}

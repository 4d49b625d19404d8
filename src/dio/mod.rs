// SPDX-License-Identifier: GPL-2.0

//! Direct I/O: a retry-based worker.
//!
//! A direct request goes between user memory and the device without the page cache. It is issued by
//! the task that makes it. If it is asynchronous, that task does not wait: when the last bio has
//! ended, a *retry* enters the worker again with the same kiocb, in process context, reaps the bios
//! and completes the request. Should it turn out while issuing that something depends on the end of
//! the request, the submitter waits after all. The design is that of Suparna Bhattacharya's patch
//! "Retry based AIO-DIO" of October 2003, and so are the names of the functions that live on.
//!
//! ```text
//!  submitter                                                      retry
//!  read_iter / write_iter (inode lock exclusive for a write)      Dio::run, in a workqueue
//!   `- direct_io                                                   `- retry
//!       `- direct_io_worker <----- the same worker ------------------> `- direct_io_worker
//!           |- direct_io_issue: map, pin, build, submit (no dio yet)      |  (has a dio: R2)
//!           |    `- dio_bio_submit ... device ... dio_bio_end_io          |
//!           |- policy::decide                          | the last one     |
//!           `- dio_await_completion                    v kicks, or wakes  `- dio_await_completion
//!               |- dio_await_one: arm, or sleep <------+                      |- dio_await_one
//!               |- dio_bio_complete                                           |- dio_bio_complete
//!               `- dio_complete                                               `- dio_complete
//!                                                                               ki_complete
//! ```
//!
//! # Rules
//!
//! | | rule | where |
//! | --- | --- | --- |
//! | R1 | the private pointer of the kiocb is the dio from before the first bio until it is reaped, and null otherwise | `direct_io_worker`, `dio_await_completion` |
//! | R2 | entering the worker with a kiocb that has a dio issues nothing | `direct_io_worker` |
//! | R3 | one bio end function, which only queues the bio and at zero wakes whoever waits | [`state::bio_end`] |
//! | R4 | an asynchronous wait does not sleep | `dio_await_one`, [`state::await_async`] |
//! | R5 | bios are reaped in process context | `dio_bio_complete` |
//! | R6 | when all are reaped: result, `dio_complete`, private cleared, dio freed, once | `dio_await_completion` |
//! | R7 | the wait is decided after the i/o is issued | [`policy`] |
//! | R8 | extends hold the lock until data and i_size are in place | below |
//! | R9 | at a hole: wait, then the page cache, then complete once | below, [`issue`] |
//! | R10 | overwrites release the lock during the i/o; truncate and hole punching wait | below |
//! | R11 | synchronous writes keep the lock | below |
//! | R12 | reads hold the lock for the look-ups only | `direct_io_issue` |
//! | R13 | reads count up to the end of the file | `Request::count` |
//! | R14 | a cancel loses, frees or doubles nothing: a request that has a dio ends by its last bio alone | [`state`] |
//! | R15 | no hang | below |
//!
//! # Locking
//!
//! The inode lock (`i_rwsem`) protects i_size and the block map against writers and truncate. It
//! belongs to a task, so it cannot be handed to the retry: to hold it until the end of a request
//! means that the submitter waits.
//!
//! * A *write* is called with the lock held exclusively, taken by `write_iter` and released by it
//!   after the call. What the call waits for is therefore done under the lock: all synchronous
//!   writes (R11); extends, of which the blocks, the data and i_size become visible in that order
//!   to whoever takes the lock next (R8); the bios before a hole, and then the buffered write that
//!   fills it, which [`direct_write`] makes before the lock is released (R9).
//! * An asynchronous overwrite of allocated blocks inside i_size returns with its bios in flight,
//!   so that the lock is released (R10). What must not happen until it is done is that its blocks
//!   are freed, and given to somebody else. This the count of direct I/O requests of the inode
//!   prevents (`inode_dio_begin`): who frees blocks (truncate, hole punching) takes the lock
//!   exclusively and waits for the count to drop to zero. Requests take the count with the lock
//!   held, so that none can come in between. The retry gives it back, before it syncs, and takes no
//!   lock.
//! * A *read* takes the lock shared while it looks up blocks and issues bios, and the count with
//!   it; it releases the lock before it waits (R12).
//! * Buffered readers and mmap take no inode lock. What they must not see are new blocks before the
//!   data: they look up blocks only inside i_size, which moves after the data is on the device.
//!   Pages they have are dropped before the write (by the caller) and after it. When i_size moves,
//!   this is done with the `invalidate_lock` of the mapping held, under which no page can come in:
//!   the page with the old end of the file has zeroes behind it.
//! * The lock of the [`state`] is taken last, with interrupts off, and nothing sleeps under it.
//!
//! # What a request counts for
//!
//! See [`outcome`]. Blocks that were allocated behind what counts are given back under the lock.
//!
//! # Forward progress
//!
//! * Reaping and completing needs no memory: a retry is queued by linking the work in the dio, on a
//!   workqueue with a rescuer.
//! * A submitter may sleep for memory, also while it has bios in flight, but it waits for *bios* of
//!   other requests only when it has none of its own ([`issue`]).
//! * A submitter that waits holds the inode lock at most. The end of its bios depends on the device
//!   alone: bios end in any context without a lock that a submitter holds.
//! * A retry may wait for page locks and for writeback, and with O_DSYNC for the device. None of
//!   these depends on another retry.

mod complete;
mod counters;
mod dio;
mod extent;
mod filesystem;
mod issue;
mod kick;
mod mount;
mod nowait;
mod outcome;
mod policy;
mod report;
mod request;
mod retry;
mod state;
mod step;
mod submit;
mod worker;
mod write;

pub(crate) use dio::Dio;
pub(crate) use filesystem::{Filesystem, Mapping};
pub(crate) use mount::Mount;
pub(crate) use submit::direct_io;
pub(crate) use write::direct_write;

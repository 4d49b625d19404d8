// SPDX-License-Identifier: GPL-2.0

//! Direct I/O: a retry-based worker.
//!
//! A direct request transfers data between user memory and the device, without the page cache. It
//! is issued by the task that makes it. If it is asynchronous, that task does not wait: when the
//! last bio has ended, a *retry* enters the worker again with the same kiocb, reaps the bios and
//! completes the request. It runs where the bio has ended, or, if it has to sleep, in process
//! context. If it turns out while issuing that something depends on the end of the request, the
//! submitter waits. The design is that of Suparna Bhattacharya's patch "Retry based AIO-DIO" of
//! October 2003, and functions that do what they did there have kept their names.
//! `Documentation/filesystems/retryfs-dio.rst` has the design,
//! `Documentation/filesystems/retryfs-walk.rst` two requests step by step.
//!
//! ```text
//!  submitter                                    retry, where the last bio ended,
//!  direct_io                submit.rs           kick, or run in a workqueue   kick.rs
//!   `- direct_io_worker     worker.rs            `- retry                     retry.rs
//!       |- direct_io_issue                           |- direct_io_worker      worker.rs
//!       |   `- do_direct_io issue.rs                 |   `- dio_await_completion
//!       |- decide           policy.rs                |       |- dio_await_one
//!       `- dio_await_completion                      |       |- dio_bio_reap  complete.rs
//!           |- dio_await_one                         |       `- dio_complete
//!           |- dio_bio_reap complete.rs              `- ki_complete
//!           `- dio_complete
//!
//!  end of a bio, in any context
//!  dio_bio_end_io           kick.rs
//!   `- bio_end              state.rs            the last one wakes the submitter, or starts the retry
//!
//!  a request of one bio, which carries it      single.rs
//!  a read that somebody else issues            punt.rs
//! ```
//!
//! # Files
//!
//! From what is needed to what needs it:
//!
//! * [`extent`], [`outcome`], [`policy`], [`state`]: arithmetic, the result of a request, when to
//!   wait, the state machine. These know nothing of the kernel; `tests/host` compiles them, too.
//! * [`request`], [`dio`], [`mount`], [`counters`], [`filesystem`], [`step`]: the objects of a request,
//!   what a mount has, the trait by which the worker knows the filesystem, and the ways into the
//!   worker and out of it.
//! * [`report`], [`new_blocks`], [`complete`], [`parking`], [`issue`], [`worker`]: the worker.
//! * [`kick`], [`retry`], [`flush`](self::flush): the end of a bio, and what comes of the last one.
//! * [`single`]: what most requests are, without the worker.
//! * [`punt`]: reads whose submitter would sleep for the block map, issued by a worker.
//! * [`dsync`], [`nowait`], [`overwrite`], [`submit`], [`read`](self::read), [`write`](self::write): the ways in
//!   from the VFS.
//!
//! # Rules
//!
//! `Documentation/filesystems/retryfs-dio.rst` says what they are, with their exceptions; this is where they are kept.
//!
//! | rule | where |
//! | --- | --- |
//! | R1 | `direct_io_worker`, `dio_await_completion` in [`worker`] |
//! | R2 | `direct_io_worker` in [`worker`] |
//! | R3 | `dio_bio_end_io` in [`kick`], [`state::bio_end`], [`single`] |
//! | R4 | `dio_await_one` in [`worker`], [`state::await_async`] |
//! | R5 | [`step::Context`], `dio_bio_complete` and `check_context` in [`complete`] |
//! | R6 | `dio_await_completion` in [`worker`] |
//! | R7 | [`policy`], [`single`] |
//! | R8 | below, `dio_complete` in [`complete`] |
//! | R9 | below, [`issue`], [`write`](self::write) |
//! | R10 | below |
//! | R11 | below |
//! | R12 | `direct_io_issue` in [`worker`], [`punt`] |
//! | R13 | `Request::count` in [`request`] |
//! | R14 | [`state`] |
//! | R15 | below |
//!
//! # Locking
//!
//! The inode lock (`i_rwsem`) protects i_size and the block map against writers and truncate. It is
//! owned by a task, so that it cannot be handed to the retry: to hold it until the end of a request
//! means that the submitter waits.
//!
//! * A *write* is called with the lock held; `write_iter` takes it, and releases it after the call: an
//!   overwrite shared, as it changes neither i_size nor the block map ([`overwrite`]), any other
//!   exclusively. What the call waits for is therefore done under the lock: all synchronous writes
//!   (R11); extends, whose blocks, data and i_size become visible in that order to the next owner of
//!   the lock (R8); the bios before a hole, and then the buffered write that fills it, which
//!   [`direct_write`] makes before the lock is released (R9).
//! * With the mount option `async_alloc` a write to new blocks is not waited for. Nobody finds the blocks
//!   before the retry has linked them, and it moves i_size itself, with `invalidate_lock` held, not the
//!   inode lock: [`new_blocks`]. Who changes i_size with the inode lock waits for such writes first.
//! * An asynchronous overwrite of allocated blocks inside i_size returns with its bios in flight, and
//!   the lock is released (R10). Until it is done, its blocks must not be freed and used again. This
//!   is prevented by the count of direct I/O of the inode (`i_dio_count`, `inode_dio_begin`): whoever
//!   frees blocks (truncate, hole punching) takes the lock exclusively and waits for the count to
//!   drop to zero. Requests raise the count with the lock held, so that none can come in between.
//!   The retry lowers it, before it syncs (but after a flush that it shares), and takes no lock.
//! * A *read* takes the lock shared while it looks up blocks and issues bios, and raises the count
//!   under it; it releases the lock before it waits (R12).
//! * Buffered readers and mmap take no inode lock. They must not see new blocks before the data is
//!   there: these are not in the block map before ([`new_blocks`]), and i_size moves after that. Pages
//!   of the range are dropped before the write (by the caller) and after it. When i_size moves, this
//!   is done with the `invalidate_lock` of the mapping held, under which no page comes into the page
//!   cache: the page with the old end of the file has zeroes past EOF.
//! * The lock of the [`state`] is taken last, but for that of [`flush`], with interrupts off, and nothing sleeps
//!   under them.
//!
//! # The result of a request
//!
//! See [`outcome`]. New blocks beyond what counts do not become a part of the file.
//!
//! # Forward progress
//!
//! * Reaping and completing needs no memory: a retry is queued by linking the work item beside the dio,
//!   on a workqueue with a rescuer.
//! * A read that was punted waits for the inode lock with a dio that is none of the reserve, on a workqueue of its own: who
//!   holds the lock may wait for work on the other ones ([`punt`]).
//! * A submitter may sleep for memory, also while it has bios in flight, but it waits for *bios* of
//!   other requests only when it has none of its own ([`issue`]).
//! * A submitter that waits holds the inode lock at most. The end of its bios depends on the device
//!   alone: bios end in any context, without a lock that a submitter holds.
//! * A retry may wait for folio locks and for writeback, and with O_DSYNC for the device. None of
//!   these depends on another retry. Those that share a flush wait for the device, and what has to wait for
//!   anything else is done after that, by a work item of its own.

mod complete;
mod counters;
#[allow(clippy::module_inception)] // It is the dio.
mod dio;
mod dsync;
mod extent;
mod filesystem;
mod flush;
mod issue;
mod kick;
mod mount;
mod new_blocks;
mod nowait;
mod outcome;
mod overwrite;
mod parking;
mod policy;
mod punt;
mod read;
mod report;
mod request;
mod retry;
mod single;
mod state;
mod step;
mod submit;
mod worker;
mod write;

pub(crate) use dio::Dio;
pub(crate) use filesystem::{Filesystem, Mapping, Stopped};
pub(crate) use mount::{DioCache, Mount};
pub(crate) use nowait::{modified, would_block};
pub(crate) use overwrite::{direct_overwrite, Overwrite};
pub(crate) use policy::Block;
pub(crate) use read::direct_read;
pub(crate) use request::Turns;
pub(crate) use submit::direct_io;
pub(crate) use write::direct_write;

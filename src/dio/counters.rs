// SPDX-License-Identifier: GPL-2.0

//! The statistics of a mount, in sysfs.

use kernel::sync::atomic::{ordering, Atomic};

use super::policy::{Block, Reason, Wait};

/// A counter of events. Needs no lock.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    const fn new() -> Self {
        Counter(Atomic::new(0))
    }

    /// Counts one event.
    #[inline]
    pub(super) fn inc(&self) {
        self.0.add(1, ordering::Relaxed);
    }

    /// The number of events so far.
    pub(crate) fn read(&self) -> u64 {
        self.0.load(ordering::Relaxed)
    }
}

/// The counters of a mount.
pub(crate) struct Counters {
    /// Direct reads that were no request of one bio, also those that fail their checks.
    pub(super) requests_read: Counter,
    /// The same of writes.
    pub(super) requests_write: Counter,
    /// Direct reads of one bio, which carried them: none of the other counters has them before
    /// their retry.
    pub(super) single_read: Counter,
    /// The same of writes.
    pub(super) single_write: Counter,
    /// Direct reads of one bio that their submitter waited for, without the worker.
    pub(super) single_sync_read: Counter,
    /// The same of writes.
    pub(super) single_sync_write: Counter,
    /// Asynchronous requests, left to the retry by a submitter that did not wait.
    pub(super) async_requests: Counter,
    /// Those of them whose bios had to wait for another request to the same block.
    pub(crate) parked: Counter,
    /// Those of them that a worker has issued, as their blocks could not be looked up in memory.
    pub(crate) punted: Counter,
    /// Asynchronous requests that became synchronous because they ended past i_size.
    pub(crate) sync_extend: Counter,
    /// Asynchronous requests that became synchronous because they came to a hole.
    pub(crate) sync_hole: Counter,
    /// Asynchronous requests that became synchronous because of an error while issuing.
    pub(crate) sync_error: Counter,
    /// Asynchronous requests that became synchronous because memory had to be brought in.
    pub(crate) sync_memory: Counter,
    /// Asynchronous requests whose retry was kicked by their last bio.
    pub(crate) retries: Counter,
    /// Those of them that would have had to sleep there, and were left to process context.
    pub(crate) retries_queued: Counter,
    /// Direct writes that fell back to buffered I/O, wholly or in part.
    pub(crate) buffered_fallback: Counter,
    /// Requests, direct and through the page cache, that failed with `EAGAIN`, by what they would have waited for.
    pub(crate) nowait_lock: Counter,
    pub(crate) nowait_metadata: Counter,
    pub(crate) nowait_blocks: Counter,
    pub(crate) nowait_pages: Counter,
    pub(crate) nowait_sync: Counter,
    pub(crate) nowait_memory: Counter,
    pub(crate) nowait_device: Counter,
}

impl Counters {
    pub(super) const fn new() -> Self {
        Counters {
            requests_read: Counter::new(),
            requests_write: Counter::new(),
            single_read: Counter::new(),
            single_write: Counter::new(),
            single_sync_read: Counter::new(),
            single_sync_write: Counter::new(),
            async_requests: Counter::new(),
            parked: Counter::new(),
            punted: Counter::new(),
            sync_extend: Counter::new(),
            sync_hole: Counter::new(),
            sync_error: Counter::new(),
            sync_memory: Counter::new(),
            retries: Counter::new(),
            retries_queued: Counter::new(),
            buffered_fallback: Counter::new(),
            nowait_lock: Counter::new(),
            nowait_metadata: Counter::new(),
            nowait_blocks: Counter::new(),
            nowait_pages: Counter::new(),
            nowait_sync: Counter::new(),
            nowait_memory: Counter::new(),
            nowait_device: Counter::new(),
        }
    }

    /// Direct reads.
    pub(crate) fn requests_read(&self) -> u64 {
        self.requests_read.read() + self.single_read.read() + self.single_sync_read.read()
    }

    /// Direct writes.
    pub(crate) fn requests_write(&self) -> u64 {
        self.requests_write.read() + self.single_write.read() + self.single_sync_write.read()
    }

    /// Asynchronous requests that were left to the retry.
    pub(crate) fn async_requests(&self) -> u64 {
        self.async_requests.read() + self.single()
    }

    /// Those of them that were one bio, which carried them.
    pub(crate) fn single(&self) -> u64 {
        self.single_read.read() + self.single_write.read()
    }

    /// Synchronous requests of one bio that had no use for the worker.
    pub(crate) fn single_sync(&self) -> u64 {
        self.single_sync_read.read() + self.single_sync_write.read()
    }

    /// Counts a request that would block.
    pub(super) fn would_block(&self, on: Block) {
        let counter = match on {
            Block::Lock => &self.nowait_lock,
            Block::Metadata => &self.nowait_metadata,
            Block::Blocks => &self.nowait_blocks,
            Block::Pages => &self.nowait_pages,
            Block::Sync => &self.nowait_sync,
            Block::Memory => &self.nowait_memory,
            Block::Device => &self.nowait_device,
        };
        counter.inc();
    }

    /// Counts a request by how its submitter waits for it.
    pub(super) fn waits(&self, how: Wait) {
        let counter = match how {
            Wait::Sync => return,
            Wait::Async => &self.async_requests,
            Wait::Switch(Reason::Extend) => &self.sync_extend,
            Wait::Switch(Reason::Hole) => &self.sync_hole,
            Wait::Switch(Reason::Error) => &self.sync_error,
            Wait::Switch(Reason::Memory) => &self.sync_memory,
        };
        counter.inc();
    }
}

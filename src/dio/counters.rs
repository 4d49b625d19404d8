// SPDX-License-Identifier: GPL-2.0

//! What the worker has done since the mount, for users and tests to see.

use kernel::sync::atomic::{ordering, Atomic};

use super::policy::Reason;

/// An event that is counted.
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

    /// How many events there were.
    pub(crate) fn read(&self) -> u64 {
        self.0.load(ordering::Relaxed)
    }
}

/// The counters of a mount.
pub(crate) struct Counters {
    /// Direct reads that reached the worker.
    pub(crate) requests_read: Counter,
    /// Direct writes that reached the worker.
    pub(crate) requests_write: Counter,
    /// Requests that were left to the retry.
    pub(crate) async_requests: Counter,
    /// Asynchronous requests that were waited for because they ended beyond i_size.
    pub(crate) sync_extend: Counter,
    /// Asynchronous requests that were waited for because they came to a hole.
    pub(crate) sync_hole: Counter,
    /// Asynchronous requests that were waited for because of an error while issuing.
    pub(crate) sync_error: Counter,
    /// Times that the retry entered the worker.
    pub(crate) retries: Counter,
    /// Direct writes of which at least a part was left to the page cache.
    pub(crate) buffered_fallback: Counter,
}

impl Counters {
    pub(super) const fn new() -> Self {
        Counters {
            requests_read: Counter::new(),
            requests_write: Counter::new(),
            async_requests: Counter::new(),
            sync_extend: Counter::new(),
            sync_hole: Counter::new(),
            sync_error: Counter::new(),
            retries: Counter::new(),
            buffered_fallback: Counter::new(),
        }
    }

    /// The counter for a switch from an asynchronous to a synchronous wait.
    pub(super) fn switched(&self, reason: Reason) -> &Counter {
        match reason {
            Reason::Extend => &self.sync_extend,
            Reason::Hole => &self.sync_hole,
            Reason::Error => &self.sync_error,
        }
    }
}

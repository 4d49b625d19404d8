// SPDX-License-Identifier: GPL-2.0

//! The counters of a mount, in `/sys/fs/retryfs/DEVICE/`.

use crate::dio;
use crate::types::RetryFs;
use kfs::sysfs::{Attribute, Attributes};

impl Attributes for dio::Mount<RetryFs> {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::new(c"requests_read", |dio| dio.counters.requests_read()),
        Attribute::new(c"requests_write", |dio| dio.counters.requests_write()),
        Attribute::new(c"async", |dio| dio.counters.async_requests()),
        Attribute::new(c"async_single", |dio| dio.counters.single()),
        Attribute::new(c"sync_single", |dio| dio.counters.single_sync()),
        Attribute::new(c"sync_extend", |dio| dio.counters.sync_extend.read()),
        Attribute::new(c"sync_hole", |dio| dio.counters.sync_hole.read()),
        Attribute::new(c"sync_error", |dio| dio.counters.sync_error.read()),
        Attribute::new(c"sync_memory", |dio| dio.counters.sync_memory.read()),
        Attribute::new(c"parked", |dio| dio.counters.parked.read()),
        Attribute::new(c"punted", |dio| dio.counters.punted.read()),
        Attribute::new(c"retries", |dio| dio.counters.retries.read()),
        Attribute::new(c"retries_queued", |dio| dio.counters.retries_queued.read()),
        Attribute::new(c"buffered_fallback", |dio| {
            dio.counters.buffered_fallback.read()
        }),
        Attribute::new(c"nowait_lock", |dio| dio.counters.nowait_lock.read()),
        Attribute::new(c"nowait_metadata", |dio| {
            dio.counters.nowait_metadata.read()
        }),
        Attribute::new(c"nowait_blocks", |dio| dio.counters.nowait_blocks.read()),
        Attribute::new(c"nowait_pages", |dio| dio.counters.nowait_pages.read()),
        Attribute::new(c"nowait_sync", |dio| dio.counters.nowait_sync.read()),
        Attribute::new(c"nowait_memory", |dio| dio.counters.nowait_memory.read()),
        Attribute::new(c"nowait_device", |dio| dio.counters.nowait_device.read()),
    ];
}

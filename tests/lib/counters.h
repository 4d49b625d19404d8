/* SPDX-License-Identifier: GPL-2.0 */
/* The counters of a mounted retryfs, in sysfs. */
#ifndef RFS_COUNTERS_H
#define RFS_COUNTERS_H

#include <stdint.h>

struct vol;

/* What a request that must not wait would have waited for. */
enum again {
	AGAIN_LOCK, AGAIN_METADATA, AGAIN_BLOCKS, AGAIN_PAGES, AGAIN_SYNC, AGAIN_MEMORY, AGAIN_DEVICE,
	AGAIN_REASONS
};

struct counters {
	uint64_t requests_read, requests_write, async, async_single, sync_single, parked, punted;
	uint64_t sync_extend, sync_hole, sync_error, sync_memory;
	uint64_t retries, retries_queued, buffered_fallback;
	uint64_t again[AGAIN_REASONS];
};

/* -ENOENT on a filesystem that has none. */
int vol_counters(struct vol *v, struct counters *c);

/* NULL if since @before requests have failed with EAGAIN for @why alone, @n of them; or what is otherwise. */
const char *vol_again_differs(struct vol *v, const struct counters *before, enum again why, uint64_t n);

#endif

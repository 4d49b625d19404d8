/* SPDX-License-Identifier: GPL-2.0 */
/* The counters of a mounted retryfs, in sysfs. */
#ifndef RFS_COUNTERS_H
#define RFS_COUNTERS_H

#include <stdint.h>

struct vol;

struct counters {
	uint64_t requests_read, requests_write, async;
	uint64_t sync_extend, sync_hole, sync_error;
	uint64_t retries, retries_queued, buffered_fallback;
};

/* -ENOENT on a filesystem that has none. */
int vol_counters(struct vol *v, struct counters *c);

#endif

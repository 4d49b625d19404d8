// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vol.h"

static int counter(const char *dev, const char *name, uint64_t *val)
{
	unsigned long long n;
	char path[128];
	FILE *f;
	int err = 0;

	snprintf(path, sizeof(path), "/sys/fs/retryfs/%s/%s", dev, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%llu", &n) != 1)
		err = -EIO;
	*val = n;
	fclose(f);
	return err;
}

static const char *const again_names[AGAIN_REASONS] = {
	[AGAIN_LOCK] = "nowait_lock",
	[AGAIN_METADATA] = "nowait_metadata",
	[AGAIN_BLOCKS] = "nowait_blocks",
	[AGAIN_PAGES] = "nowait_pages",
	[AGAIN_SYNC] = "nowait_sync",
	[AGAIN_MEMORY] = "nowait_memory",
	[AGAIN_DEVICE] = "nowait_device",
};

int vol_counters(struct vol *v, struct counters *c)
{
	const char *dev = strrchr(v->dev, '/') + 1;
	int err, i;

	err = counter(dev, "requests_read", &c->requests_read);
	if (!err)
		err = counter(dev, "requests_write", &c->requests_write);
	if (!err)
		err = counter(dev, "async", &c->async);
	if (!err)
		err = counter(dev, "async_single", &c->async_single);
	if (!err)
		err = counter(dev, "sync_single", &c->sync_single);
	if (!err)
		err = counter(dev, "sync_extend", &c->sync_extend);
	if (!err)
		err = counter(dev, "sync_hole", &c->sync_hole);
	if (!err)
		err = counter(dev, "sync_error", &c->sync_error);
	if (!err)
		err = counter(dev, "sync_memory", &c->sync_memory);
	if (!err)
		err = counter(dev, "parked", &c->parked);
	if (!err)
		err = counter(dev, "punted", &c->punted);
	if (!err)
		err = counter(dev, "retries", &c->retries);
	if (!err)
		err = counter(dev, "retries_queued", &c->retries_queued);
	if (!err)
		err = counter(dev, "buffered_fallback", &c->buffered_fallback);
	for (i = 0; !err && i < AGAIN_REASONS; i++)
		err = counter(dev, again_names[i], &c->again[i]);
	return err;
}

const char *vol_again_differs(struct vol *v, const struct counters *before, enum again why, uint64_t n)
{
	static char text[100];
	struct counters now;
	int i;

	if (vol_counters(v, &now))
		return "the counters cannot be read";
	for (i = 0; i < AGAIN_REASONS; i++) {
		unsigned long long more = now.again[i] - before->again[i];

		if (more == (i == (int)why ? n : 0))
			continue;
		snprintf(text, sizeof(text), "%s has counted %llu", again_names[i], more);
		return text;
	}
	return NULL;
}

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

int vol_counters(struct vol *v, struct counters *c)
{
	const char *dev = strrchr(v->dev, '/') + 1;
	int err;

	err = counter(dev, "requests_read", &c->requests_read);
	if (!err)
		err = counter(dev, "requests_write", &c->requests_write);
	if (!err)
		err = counter(dev, "async", &c->async);
	if (!err)
		err = counter(dev, "sync_extend", &c->sync_extend);
	if (!err)
		err = counter(dev, "sync_hole", &c->sync_hole);
	if (!err)
		err = counter(dev, "sync_error", &c->sync_error);
	if (!err)
		err = counter(dev, "retries", &c->retries);
	if (!err)
		err = counter(dev, "retries_queued", &c->retries_queued);
	if (!err)
		err = counter(dev, "buffered_fallback", &c->buffered_fallback);
	return err;
}

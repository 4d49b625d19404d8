// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "aio.h"
#include "buf.h"
#include "punch.h"
#include "store.h"
#include "vol.h"

static __thread sigjmp_buf after;

static void bus(int sig)
{
	siglongjmp(after, 1);
}

int store(char *at, char c)
{
	struct sigaction sa = { .sa_handler = bus };

	sigaction(SIGBUS, &sa, NULL);
	if (sigsetjmp(after, 1))
		return -ENOSPC;
	__atomic_store_n(at, c, __ATOMIC_RELAXED);
	return 0;
}

long op_store(void *arg)
{
	struct store_op *op = arg;

	return store(op->at, op->c);
}

int store_in_hole(struct vol *v, const char *name, int fd, char *map, char c)
{
	char *buf = buf_alloc(v->bs);
	struct vol_map src;
	struct io_event ev;
	struct iocb cb;
	aio_context_t ctx;
	int dfd, err;

	err = vol_prefill(name, 0, v->bs, 77);
	if (!err)
		err = vol_find(v, 0, v->bs, 77, &src);
	if (err)
		return err;
	dfd = vol_open(name, O_RDWR | O_DIRECT);
	if (dfd < 0)
		return dfd;
	memset(buf, c, v->bs);
	if (pwrite(dfd, buf, v->bs, 0) != v->bs)
		return -EIO;
	err = aio_setup(1, &ctx) ?: vol_route(v, &src) ?: vol_hold_routed(v);
	if (err)
		return err;
	aio_prep_read(&cb, dfd, map, v->bs, 0);
	err = aio_submit_one(ctx, &cb);
	/* not by a sync: it flushes the device, which is held */
	if (!err && sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WAIT_BEFORE |
				    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER))
		err = -errno;
	err = err ?: punch(fd, 0, v->bs);
	err = err ?: vol_release_routed(v);
	if (!err && (aio_events(ctx, 1, 1, &ev, 120000) != 1 || ev.res != v->bs))
		err = -EIO;
	close(dfd);
	return err ?: aio_destroy(ctx) ?: vol_unroute(v);
}

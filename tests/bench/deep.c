// SPDX-License-Identifier: GPL-2.0
/*
 * usage: deep append|fill FILE
 *
 * Submits 4,096 asynchronous direct writes of 4 KiB to new blocks, all of which are in flight at once if the device
 * takes long enough, and prints what submitting one takes when there are few of them, and when there are nearly
 * all, and what it takes until one after the other has its event, in nanoseconds each.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 4096, SIZE = 4096, SOME = 256 };
/* Below two levels of blocks of pointers. */
enum { BASE = 12 + 1024 + 1024 };

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char **argv)
{
	static struct iocb cb[COUNT];
	static struct io_event ev[COUNT];
	long first = 0, last = 0, began = 0, ended, got;
	int is_append, fd, i;
	aio_context_t ctx = 0;
	void *buf;

	if (argc != 3)
		errx(2, "see the first lines of its source");
	is_append = !strcmp(argv[1], "append");
	fd = open(argv[2], O_CREAT | O_TRUNC | O_RDWR | O_DIRECT, 0600);
	if (fd < 0 || (!is_append && ftruncate(fd, (off_t)(BASE + COUNT) * SIZE)))
		err(1, "%s", argv[2]);
	if (posix_memalign(&buf, SIZE, SIZE) || syscall(SYS_io_setup, COUNT, &ctx))
		err(1, "io_setup");
	memset(buf, 1, SIZE);
	/* what is to be in memory is */
	if (pwrite(fd, buf, SIZE, (off_t)(BASE - 1) * SIZE) != SIZE)
		err(1, "write");
	for (i = 0; i < COUNT; i++) {
		struct iocb *list = &cb[i];
		/* a fill is beside none that is there */
		const int at = BASE + (is_append ? i : i * 1021 % COUNT);

		cb[i] = (struct iocb){
			.aio_lio_opcode = IOCB_CMD_PWRITE,
			.aio_fildes = fd,
			.aio_buf = (unsigned long)buf,
			.aio_nbytes = SIZE,
			.aio_offset = (long long)at * SIZE,
		};
		began = now();
		if (syscall(SYS_io_submit, ctx, 1, &list) != 1)
			err(1, "io_submit");
		if (i >= SOME && i < 2 * SOME)
			first += now() - began;
		if (i >= COUNT - SOME)
			last += now() - began;
	}
	for (ended = 0; ended < COUNT; ended += got) {
		got = syscall(SYS_io_getevents, ctx, 1, ended ? COUNT : 1, ev, NULL);
		if (got <= 0)
			err(1, "io_getevents");
		if (!ended)
			began = now();
		for (i = 0; i < got; i++)
			if (ev[i].res != SIZE)
				errx(1, "a write has failed: %lld", ev[i].res);
	}
	printf("%ld %ld %ld\n", first / SOME, last / SOME, (now() - began) / (COUNT - 1));
	return 0;
}

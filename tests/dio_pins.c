// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that were pinned for a request are given back, whatever has become of it.
 * (Those that are cut off a bio, as they are no whole sector, are in dio_memory.)
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "harness.h"
#include "pins.h"

VOL_FIXTURE(dio_pins);
FIXTURE_VARIANT_ADD(dio_pins, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(dio_pins, bs4k) { .conf = SMALL_4K };

#define LEN	(256 * KIB)

/* Data, a hole, data, and EOF; and requests over all of these. */
static int make_file(struct vol *v, uint64_t gen)
{
	int fd = vol_open("f", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);

	if (fd < 0)
		return fd;
	if (vol_prefill("f", 0, LEN / 4, gen) ||
	    vol_prefill("f", LEN / 2, LEN / 4 - 100, gen))
		return -EIO;
	return fd;
}

static const struct {
	off_t pos;
	size_t len;
} places[] = {
	{ 512, 1024 }, { 4096 - 512, 32768 }, { LEN / 8, LEN / 4 }, { LEN / 2 + 512, LEN / 8 },
	{ 0, LEN }, { 2 * LEN, LEN / 2 },
};

/* All that succeeds, and what it counts for. */
TEST_F(dio_pins, all_kinds)
{
	char *mem = buf_alloc(2 * LEN);
	struct iovec iov[128];
	long before;
	enum way how;
	int fd, nr, n;
	size_t i;

	nr = way_setup(mem, 2 * LEN);
	ASSERT_LT(0, nr);
	before = pins_held();
	ASSERT_LE(0, before);
	for (how = SYNC; how < nr; how++)
		for (i = 0; i < ARRAY_SIZE(places); i++) {
			fd = make_file(&self->v, 1);
			ASSERT_LE(0, fd);
			n = way_cut(iov, mem, 512, places[i].len);
			ASSERT_GT(ARRAY_SIZE(iov), n);
			ASSERT_LE(0, way_rw(how, false, fd, iov, n, places[i].pos, 0));
			ASSERT_EQ(places[i].len, way_rw(how, true, fd, iov, n, places[i].pos, 0));
			ASSERT_EQ(places[i].len, way_rw(how, true, fd, iov, n, places[i].pos, 0));
			ASSERT_EQ(places[i].len, way_rw(how, false, fd, iov, n, places[i].pos, 0));
			close(fd);
			ASSERT_TRUE(pins_return_to(before)) TH_LOG("how %d, place %zu", how, i);
		}
}

/* Memory that ends in the middle; a device that fails; nothing more to allocate. */
TEST_F(dio_pins, all_errors)
{
	char *mem = buf_alloc(2 * LEN), *hole = buf_alloc(2 * LEN);
	struct vol_map map;
	long before;
	enum way how;
	int fd, gd, nr;
	ssize_t n;
	size_t i;

	nr = way_setup(mem, 2 * LEN);
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, mprotect(hole + 3 * 4096, LEN, PROT_NONE));
	before = pins_held();
	ASSERT_LE(0, before);
	for (how = SYNC; how < nr; how++)
		for (i = 0; i < ARRAY_SIZE(places); i++) {
			fd = make_file(&self->v, 1);
			ASSERT_LE(0, fd);
			/* registered memory is there when it is registered */
			if (how != FIXED && places[i].len > 3 * 4096) {
				n = do_write(how, fd, hole, places[i].len, places[i].pos);
				ASSERT_TRUE(n == -EFAULT || (n >= 0 && n < places[i].len));
				n = do_read(how, fd, hole, places[i].len, places[i].pos);
				ASSERT_TRUE(n == -EFAULT || (n >= 0 && n < places[i].len));
			}
			EXPECT_EQ(-EINVAL, do_write(how, fd, mem, places[i].len, 100));
			EXPECT_EQ(-EINVAL, do_read(how, fd, mem + 1, places[i].len, 0));
			close(fd);
			ASSERT_TRUE(pins_return_to(before)) TH_LOG("how %d, place %zu", how, i);
		}

	/* the middle of the first piece fails, and then the whole device */
	fd = make_file(&self->v, 2);
	ASSERT_LE(0, fd);
	vol_sync();
	ASSERT_EQ(0, vol_find(&self->v, LEN / 8, 4096, 2, &map));
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	for (how = SYNC; how < nr; how++) {
		ASSERT_EQ(-EIO, do_read(how, fd, mem, 8192, LEN / 8 - 512));
		ASSERT_EQ(-EIO, do_write(how, fd, mem, 8192, LEN / 8 - 512));
	}
	ASSERT_EQ(0, vol_fail(&self->v, NULL));
	for (how = SYNC; how < nr; how++) {
		ASSERT_EQ(-EIO, do_read(how, fd, mem, 8192, 0));
		ASSERT_EQ(-EIO, do_write(how, fd, mem, 8192, 0));
	}
	ASSERT_EQ(0, vol_unroute(&self->v));
	ASSERT_TRUE(pins_return_to(before));

	/* until there is no space: the last request is short */
	for (how = SYNC; how < nr; how++) {
		gd = vol_open("g", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT);
		ASSERT_LE(0, gd);
		do {
			n = do_write(how, gd, mem, LEN, file_size(gd));
		} while (n > 0);
		ASSERT_EQ(-ENOSPC, n);
		close(gd);
		ASSERT_TRUE(pins_return_to(before));
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * A device on which one bio takes longer than all that follow: each operation is done
 * again and again, and the first of its bios is kept until nothing else goes on, then
 * the second, and so on until there are no more. Nothing fails, and nothing is lost.
 */
#include <fcntl.h>

#include "harness.h"
#include "nbd.h"
#include "ops.h"

/* More than any operation has. */
#define MOST	1000
/* Of the faults of an operation every so many-th, if it is not for make faults. */
#define USUAL	13

FIXTURE(fs_delay) {
	struct nbd *disk;
	char dev[32];
};

FIXTURE_SETUP(fs_delay)
{
	self->disk = nbd_up(1, true, self->dev, sizeof(self->dev));
	if (!self->disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(self->disk != NULL);
	ASSERT_EQ(0, ops_make(self->dev, &(const struct ops_sizes)OPS_SMALL));
}

FIXTURE_TEARDOWN(fs_delay)
{
	if (self->disk)
		nbd_down(self->disk);
}

static long run_round(void *round)
{
	round_run(round);
	round_sync(round);
	return 0;
}

/* It has returned, or it waits, and for nothing but the bio that is kept. */
static bool nothing_else_goes_on(struct task *task, struct nbd *disk)
{
	int i;

	for (i = 0; i < 1000; i++)
		switch (task_settle(task)) {
		case TASK_DONE:
			return true;
		case TASK_BLOCKED:
			if (nbd_keeps(disk))
				return true;
			break;
		default:
			return false;
		}
	return false;
}

static void delay_each(struct __test_metadata *_metadata, FIXTURE_DATA(fs_delay) * self,
		       const struct op *op, unsigned int usual)
{
	unsigned int stride, nth = ops_stride(op, usual, &stride), total = 0;
	struct task task;
	char what[64];
	struct round r;

	for (; nth < MOST; nth += stride) {
		const char *wrong;
		bool hit;

		ASSERT_EQ(0, round_begin(&r, op, self->dev)) TH_LOG("%s", op->name);
		nbd_begin(self->disk, NBD_KEEP, nth);
		ASSERT_EQ(0, task_start(&task, run_round, &r));
		ASSERT_TRUE(nothing_else_goes_on(&task, self->disk))
			TH_LOG("%s, bio %u", op->name, nth);
		hit = nbd_hit(self->disk, what, sizeof(what));
		nbd_release(self->disk);
		ASSERT_EQ(0, task_join(&task, JOIN_SECONDS))
			TH_LOG("%s, bio %u (%s)", op->name, nth, hit ? what : "none");
		total = nbd_end(self->disk);
		wrong = round_end(&r, 0, false);
		EXPECT_TRUE(!wrong)
			TH_LOG("%s, bio %u (%s), which returned %ld, and the sync %ld: %s", op->name,
			       nth, hit ? what : "none", r.ret, r.synced, wrong);
		if (!hit)
			break;
	}
	TH_LOG("%s: %u bios", op->name, total);
}

TEST_F_TIMEOUT(fs_delay, names, 3600)
{
	const struct op *op;

	for (op = ops_names; op->name; op++)
		delay_each(_metadata, self, op, USUAL);
}

TEST_F_TIMEOUT(fs_delay, files, 3600)
{
	const struct op *op;

	for (op = ops_data; op->name; op++)
		delay_each(_metadata, self, op, USUAL);
}

TEST_F_TIMEOUT(fs_delay, attributes, 3600)
{
	const struct op *op;

	for (op = ops_attributes; op->name; op++)
		delay_each(_metadata, self, op, USUAL);
}

TEST_F_TIMEOUT(fs_delay, volume, 3600)
{
	const struct op *op;

	for (op = ops_volume; op->name; op++)
		delay_each(_metadata, self, op, USUAL);
}

static int make_first(struct round *r)
{
	r->fd = vol_make("first", 2000, 1);
	return r->fd < 0 ? r->fd : 0;
}

static long sync_device(void *dev)
{
	int fd = open(dev, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = fsync(fd) ? -errno : 0;
	close(fd);
	return err;
}

/* The device has some of the metadata, or what is kept of it; and all of it changes again. */
static long change_what_is_written(struct round *r)
{
	struct task task;
	int fd;

	if (task_start(&task, sync_device, r->v.dev) || task_settle(&task) == TASK_UNSETTLED)
		return -EIO;
	fd = vol_make("second", 2000, 2);
	if (fd < 0)
		return fd;
	close(fd);
	return task_join(&task, 2 * JOIN_SECONDS);
}

static const char *check_both(struct round *r)
{
	return vol_holds("first", 2000, 1) && vol_holds("second", 2000, 2) ? NULL : "a file is lost";
}

TEST_F(fs_delay, change_of_what_is_written)
{
	static const struct op op = {
		.name = "change of what is written", .prepare = make_first,
		.run = change_what_is_written, .check = check_both, .changes = true,
	};

	delay_each(_metadata, self, &op, 1);
}

TEST_HARNESS_MAIN

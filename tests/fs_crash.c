// SPDX-License-Identifier: GPL-2.0
/*
 * The power goes. What was written to the disk is replayed to every flush and to moments
 * between them, less what its cache loses; e2fsck -fy repairs the volume, and what is there
 * then is held against what was promised (crash/promise.c).
 *
 * From the environment:
 *	CRASH_POINTS	how many crashes
 *	CRASH_SEED	do again what this seed did
 *	CRASH_EACH	how many of one workload
 *	CRASH_ALL	1: first all workloads of one operation, and each workload behind each flush; CRASH_POINTS
 *			more then
 *	CRASH_OP	workloads with this call only, by its name in crash/step.c
 *	CRASH_WORKLOAD	this workload only
 *	CRASH_FEATURES	of the volume: with has_journal, and FSTYPE=ext4, nothing may be lost at all
 *	CRASH_KEEP	a directory to which images go that failed, as they were before e2fsck
 */
#include "harness.h"
#include "crash/run.h"

FIXTURE(fs_crash) {
	struct crash *c;
};

FIXTURE_VARIANT(fs_crash) {
	unsigned int bs;
	const char *options;	/* to mount with, if not those of the environment */
};

FIXTURE_VARIANT_ADD(fs_crash, bs1k) { .bs = 1024 };
FIXTURE_VARIANT_ADD(fs_crash, bs4k) { .bs = 4096 };
/* larger than a page */
FIXTURE_VARIANT_ADD(fs_crash, bs16k) { .bs = 16384 };
FIXTURE_VARIANT_ADD(fs_crash, async_alloc) { .bs = 1024, .options = "async_alloc" };

FIXTURE_SETUP(fs_crash)
{
	const bool few = variant->options || variant->bs > 4096;
	static struct crash c;

	if (variant->options) {
		if (!env_is_retryfs())
			SKIP(return, "a mount option of retryfs");
		ASSERT_EQ(0, setenv("MOUNT_OPTIONS", variant->options, 1));
	}
	c = (struct crash){
		.bs = variant->bs,
		.seed = env_number("CRASH_SEED", 1),
		.points = env_number("CRASH_POINTS", env_on_debug() ? 20 : few ? 75 : 150),
		.each = env_number("CRASH_EACH", 4),
		.all = env_number("CRASH_ALL", 0),
		.op = getenv("CRASH_OP"),
		.only = env_number("CRASH_WORKLOAD", 0),
		.features = getenv("CRASH_FEATURES") ?: "^resize_inode",
		.keep = getenv("CRASH_KEEP"),
	};
	self->c = &c;
	ASSERT_EQ(0, crash_up(&c));
}

FIXTURE_TEARDOWN(fs_crash)
{
	EXPECT_EQ(0, crash_down(self->c));
}

static void print_found(struct __test_metadata *_metadata, const struct crash *c)
{
	int i;

	TH_LOG("%d workloads, %d crashes, %d repaired, %d mounted; with stale blocks %d",
	       c->workloads, c->done, c->repaired, c->mounted, c->stale);
	for (i = 0; i < W_KINDS; i++)
		if (c->found[i])
			TH_LOG("%s: %d", wrong_names[i], c->found[i]);
}

/* By hand it runs for hours. */
#define A_DAY	(24 * 3600)

TEST_F_TIMEOUT(fs_crash, workloads, A_DAY)
{
	ASSERT_EQ(0, crash_run(self->c));
	print_found(_metadata, self->c);
	EXPECT_EQ(0, self->c->failed);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that has no memory once: each operation is done again and again, and the first
 * of its allocations is refused, then the second, and so on until there are no more. Each
 * time it says so, or does without; what was synced before is there; and e2fsck finds
 * nothing, unless somebody was told, and the volume is marked.
 */
#include "faults.h"
#include "harness.h"
#include "ops.h"

/* More than any operation needs. */
#define MOST	3000
#define RAMDISK	"/dev/ram0"

FIXTURE(fs_nomem) {
};

FIXTURE_VARIANT(fs_nomem) {
	struct ops_sizes sizes;
	/* every so many-th: there are many, and the debug kernel is slow; all of them by make faults */
	unsigned int usual;
};

FIXTURE_VARIANT_ADD(fs_nomem, bs1k) { .sizes = OPS_SMALL, .usual = 71 };
FIXTURE_VARIANT_ADD(fs_nomem, bs16k) { .sizes = OPS_LARGE, .usual = 71 };

FIXTURE_SETUP(fs_nomem)
{
	/* of 4 MiB, as it stays */
	const char *const modprobe[] = { "modprobe", "-q", "brd", "rd_nr=1", "rd_size=4096", NULL };
	int err = faults_setup();

	if (!ops_can(&variant->sizes))
		SKIP(return, "no large folios in this kernel");
	if (err == -ENOENT)
		SKIP(return, "a kernel without /proc/PID/fail-nth");
	ASSERT_EQ(0, err);
	if (access(RAMDISK, F_OK) && run(1, modprobe))
		SKIP(return, "a kernel without brd");
	ASSERT_EQ(0, ops_make(RAMDISK, &variant->sizes));
}

FIXTURE_TEARDOWN(fs_nomem)
{
}

/* Refuse the @nth allocation of @op; whether it has so many, or a negative errno. */
static int refuse(struct __test_metadata *_metadata, const struct op *op, bool kworkers,
		  unsigned int nth, unsigned int *failed)
{
	const char *wrong;
	struct round r;
	int struck;

	ASSERT_EQ(0, round_begin(&r, op, RAMDISK)) TH_LOG("%s", op->name);
	ASSERT_EQ(0, kworkers ? faults_begin_kworkers(nth) : faults_begin(nth));
	round_run(&r);
	round_sync(&r);
	struck = kworkers ? faults_end_kworkers() : faults_end();
	*failed += r.ret < 0 || r.synced < 0;
	wrong = round_end(&r, ENOMEM, struck);
	EXPECT_TRUE(!wrong)
		TH_LOG("%s, allocation %u%s, which returned %ld, and the sync %ld: %s", op->name,
		       nth, kworkers ? " of a kworker" : "", r.ret, r.synced, wrong);
	return struck;
}

static void refuse_each(struct __test_metadata *_metadata, const FIXTURE_VARIANT(fs_nomem) * variant,
			const struct op *op, bool kworkers)
{
	unsigned int stride, nth = ops_stride(op, variant->usual, &stride), failed = 0;
	int struck = 1;

	for (; nth && nth < MOST && struck; nth += stride) {
		struck = refuse(_metadata, op, kworkers, nth, &failed);
		ASSERT_LE(0, struck);
	}
	if (nth)
		TH_LOG("%s%s: fewer than %u allocations, %u times it failed", op->name,
		       kworkers ? " by kworkers" : "", nth - stride, failed);
}

static void all_of(struct __test_metadata *_metadata, const FIXTURE_VARIANT(fs_nomem) * variant,
		   const struct op *op)
{
	for (; op->name; op++) {
		refuse_each(_metadata, variant, op, false);
		if (op->kworkers)
			refuse_each(_metadata, variant, op, true);
	}
}

TEST_F_TIMEOUT(fs_nomem, names, 3600)
{
	all_of(_metadata, variant, ops_names);
}

/* All of those that could leave one of several entries changed, and the others not. */
TEST_F_TIMEOUT(fs_nomem, half_a_rename, 900)
{
	const struct op *op = ops_names;
	unsigned int nth, failed = 0;
	struct round r;
	int left;

	if (variant->sizes.bs > 1024)
		SKIP(return, "the same with all of them");
	while (strcmp(op->name, "rename of a directory"))
		op++;
	ASSERT_EQ(0, round_begin(&r, op, RAMDISK));
	ASSERT_EQ(0, faults_begin(MOST));
	round_run(&r);
	round_sync(&r);
	left = faults_left();
	ASSERT_TRUE(!round_end(&r, ENOMEM, 0));
	for (nth = 1; nth <= MOST - left; nth++)
		ASSERT_LE(0, refuse(_metadata, op, false, nth, &failed));
	TH_LOG("%u allocations, %u times it failed", MOST - left, failed);
	EXPECT_LT(0, failed);
}

TEST_F_TIMEOUT(fs_nomem, files, 3600)
{
	all_of(_metadata, variant, ops_data);
}

TEST_F_TIMEOUT(fs_nomem, attributes, 3600)
{
	all_of(_metadata, variant, ops_attributes);
}

TEST_F_TIMEOUT(fs_nomem, volume, 3600)
{
	all_of(_metadata, variant, ops_volume);
}

TEST_HARNESS_MAIN

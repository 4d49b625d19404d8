// SPDX-License-Identifier: GPL-2.0
/*
 * A device that fails once: each operation is done again and again, and the first of its
 * bios fails, then the second, and so on until there are no more. Each time it says so,
 * or does without; what was synced before is there; and e2fsck finds nothing, unless
 * somebody was told, and the volume is marked.
 */
#include "harness.h"
#include "nbd.h"
#include "ops.h"

/* More than any operation has. */
#define MOST	1000
FIXTURE(fs_ioerr) {
	struct nbd *disk;
	char dev[32];
};

FIXTURE_VARIANT(fs_ioerr) {
	struct ops_sizes sizes;
	/* of the faults of an operation every so many-th, if it is not for make faults */
	unsigned int usual;
	/* and all of those that were once found to matter */
	bool every;
};

FIXTURE_VARIANT_ADD(fs_ioerr, bs1k) { .sizes = OPS_SMALL, .usual = 7, .every = true };
FIXTURE_VARIANT_ADD(fs_ioerr, bs16k) { .sizes = OPS_LARGE, .usual = 11 };

FIXTURE_SETUP(fs_ioerr)
{
	if (!ops_can(&variant->sizes))
		SKIP(return, "no large folios in this kernel");
	self->disk = nbd_up(ops_mib(&variant->sizes), true, self->dev, sizeof(self->dev));
	if (!self->disk && errno == ENOENT)
		SKIP(return, "a kernel without nbd");
	ASSERT_TRUE(self->disk != NULL);
	ASSERT_EQ(0, ops_make(self->dev, &variant->sizes));
}

FIXTURE_TEARDOWN(fs_ioerr)
{
	if (self->disk)
		nbd_down(self->disk);
}

/* Whoever was told that all is well has what has failed done again by then. */
static const char *not_told(struct nbd *disk, const struct round *r)
{
	if (r->ret < 0 || r->synced < 0 || r->op->counts || r->op->untold || !nbd_lost(disk))
		return NULL;
	return "what has failed was not done again, and nobody was told";
}

static void fail_each(struct __test_metadata *_metadata, FIXTURE_DATA(fs_ioerr) * self,
		      const FIXTURE_VARIANT(fs_ioerr) * variant, const struct op *op)
{
	const unsigned int usual = op->every && variant->every ? 1 : variant->usual;
	unsigned int stride, nth = ops_stride(op, usual, &stride), total = 0;
	char what[64];
	struct round r;

	for (; nth && nth < MOST; nth += stride) {
		const char *wrong, *lost;
		bool hit, read;

		ASSERT_EQ(0, round_begin(&r, op, self->dev)) TH_LOG("%s", op->name);
		nbd_begin(self->disk, NBD_FAIL, nth);
		round_run(&r);
		lost = not_told(self->disk, &r);
		round_sync(&r);
		lost = lost ?: not_told(self->disk, &r);
		total = nbd_end(self->disk);
		hit = nbd_hit(self->disk, what, sizeof(what));
		read = hit && nbd_hit_read(self->disk);
		wrong = round_end(&r, EIO, hit) ?: lost;
		if (!wrong && r.repaired && !read)
			wrong = "e2fsck has to repair what was not written once";
		EXPECT_TRUE(!wrong)
			TH_LOG("%s, bio %u (%s), which returned %ld, and the sync %ld: %s", op->name,
			       nth, hit ? what : "none", r.ret, r.synced, wrong);
		if (!hit)
			break;
	}
	if (nth)
		TH_LOG("%s: %u bios", op->name, total);
}

TEST_F_TIMEOUT(fs_ioerr, names, 3600)
{
	const struct op *op;

	for (op = ops_names; op->name; op++)
		fail_each(_metadata, self, variant, op);
}

TEST_F_TIMEOUT(fs_ioerr, files, 3600)
{
	const struct op *op;

	for (op = ops_data; op->name; op++)
		fail_each(_metadata, self, variant, op);
}

TEST_F_TIMEOUT(fs_ioerr, attributes, 3600)
{
	const struct op *op;

	for (op = ops_attributes; op->name; op++)
		fail_each(_metadata, self, variant, op);
}

TEST_F_TIMEOUT(fs_ioerr, volume, 3600)
{
	const struct op *op;

	for (op = ops_volume; op->name; op++)
		fail_each(_metadata, self, variant, op);
}

TEST_HARNESS_MAIN

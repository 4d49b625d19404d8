// SPDX-License-Identifier: GPL-2.0
/*
 * One volume, two drivers: what the filesystem under test has written, the
 * kernel's ext4 driver reads, and the other way round, byte by byte.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "harness.h"

#define ENTRIES	200

VOL_FIXTURE(interop);
FIXTURE_VARIANT_ADD(interop, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(interop, bs2k) { .conf = VOL_2K };
FIXTURE_VARIANT_ADD(interop, bs4k) { .conf = VOL_4K };

struct piece {
	off_t pos;
	size_t len;
};

/* The pieces of file @i: small ones, whole levels of indirection, sparse ones. */
static int pieces(unsigned int bs, int i, struct piece *p)
{
	const uint64_t ptrs = bs / 4;
	const uint64_t dind = 12 + ptrs, tind = dind + ptrs * ptrs;
	const size_t whole[] = { 0, 1, 511, 512, bs - 1, bs, bs + 1, 12 * bs,
				 12 * bs + 1, dind * bs + 777, (dind + 5) * bs };

	if (i < (int)ARRAY_SIZE(whole)) {
		p[0] = (struct piece){ 0, whole[i] };
		return 1;
	}
	switch (i - ARRAY_SIZE(whole)) {
	case 0:
		p[0] = (struct piece){ 5 * bs, bs };
		p[1] = (struct piece){ (dind + 3) * bs, 2 * bs + 100 };
		return 2;
	case 1:
		p[0] = (struct piece){ (tind - 1) * bs, 2 * bs };
		p[1] = (struct piece){ (tind + 7 * ptrs) * bs + 512, 512 };
		return 2;
	default:
		return 0;
	}
}

#define FILES	13

/* Every other file is written direct, as far as its pieces are aligned. */
static int write_file(unsigned int bs, int i, uint64_t gen)
{
	struct piece p[4];
	char name[16];
	int nr = pieces(bs, i, p);
	int k, fd;

	snprintf(name, sizeof(name), "d/f%d", i);
	fd = vol_open(name, O_CREAT | O_WRONLY | O_TRUNC);
	if (fd < 0)
		return fd;
	for (k = 0; k < nr; k++) {
		bool direct = i % 2 && p[k].len % 512 == 0 && p[k].pos % 512 == 0;
		char *buf = buf_alloc(p[k].len + 1);
		ssize_t n;

		fcntl(fd, F_SETFL, direct ? O_DIRECT : 0);
		pattern_fill(buf, p[k].len, p[k].pos, gen);
		n = pwrite(fd, buf, p[k].len, p[k].pos);
		if (n != (ssize_t)p[k].len)
			return n < 0 ? -errno : -EIO;
	}
	if (fsync(fd))
		return -errno;
	close(fd);
	return 0;
}

/* The pieces hold the pattern, everything else up to the end is zeros. */
static const char *file_diff(unsigned int bs, int i, uint64_t gen, int flags)
{
	struct piece p[4];
	char name[16];
	int nr = pieces(bs, i, p);
	off_t end = 0;
	struct stat st;
	int k, fd;

	snprintf(name, sizeof(name), "d/f%d", i);
	fd = vol_open(name, O_RDONLY | flags);
	if (fd < 0 || fstat(fd, &st))
		return "cannot be opened";
	if (st.st_size != (off_t)(p[nr - 1].pos + p[nr - 1].len))
		return "has another size";
	for (k = 0; k < nr; k++) {
		/* some of the gap before, and the piece to its end */
		off_t from = p[k].pos - end > (off_t)(4 * bs) ? p[k].pos - 4 * bs : end;
		size_t len = p[k].pos + p[k].len - (from &= ~511UL);
		char *buf = buf_alloc(len + 4096);
		const char *diff;

		if (pread(fd, buf, (len + 511) & ~511UL, from) != (ssize_t)len &&
		    k == nr - 1)
			return "cannot be read whole";
		diff = zero_diff(buf, p[k].pos - from, from);
		if (!diff)
			diff = pattern_diff(buf + (p[k].pos - from), p[k].len, p[k].pos, gen);
		if (diff)
			return diff;
		end = p[k].pos + p[k].len;
	}
	close(fd);
	return NULL;
}

/* Names of all lengths, which fill several blocks. */
static const char *entry(int i)
{
	static char name[300];
	int n = snprintf(name, sizeof(name), "many/%d.", i);

	memset(name + n, 'a' + i % 26, i);
	name[n + i] = 0;
	return name;
}

static void make_tree(struct __test_metadata *_metadata, struct vol *v, uint64_t gen)
{
	const struct timespec times[2] = { { 1111111111, 0 }, { 1222222222, 0 } };
	char target[200];
	int i;

	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	for (i = 0; i < FILES; i++)
		ASSERT_EQ(0, write_file(v->bs, i, gen)) TH_LOG("file %d", i);
	ASSERT_EQ(0, mkdir(vol_path("many"), 0750));
	for (i = 0; i < ENTRIES; i++)
		ASSERT_EQ(0, mknod(vol_path(entry(i)), S_IFREG | 0600, 0));
	memset(target, 't', sizeof(target));
	target[199] = 0;
	ASSERT_EQ(0, symlink(target, vol_path("slow")));
	target[40] = 0;
	ASSERT_EQ(0, symlink(target, vol_path("fast")));
	ASSERT_EQ(0, link(vol_path("d/f5"), vol_path("hard")));
	ASSERT_EQ(0, mknod(vol_path("fifo"), S_IFIFO | 0640, 0));
	ASSERT_EQ(0, mknod(vol_path("dev"), S_IFBLK | 0600, makedev(259, 66000)));
	ASSERT_EQ(0, chown(vol_path("d/f3"), 100001, 100002));
	ASSERT_EQ(0, chmod(vol_path("d/f3"), 06751));
	ASSERT_EQ(0, utimensat(AT_FDCWD, vol_path("d/f3"), times, 0));
}

static void check_tree(struct __test_metadata *_metadata, struct vol *v, uint64_t gen)
{
	char target[300] = {};
	struct stat st;
	int i;

	/* before it is read: that moves atime */
	ASSERT_EQ(0, stat(vol_path("d/f3"), &st));
	EXPECT_EQ(06751, st.st_mode & 07777);
	EXPECT_EQ(100001, st.st_uid);
	EXPECT_EQ(100002, st.st_gid);
	EXPECT_EQ(1222222222, st.st_mtime);
	EXPECT_EQ(1111111111, st.st_atime);

	for (i = 0; i < FILES; i++) {
		const char *diff = file_diff(v->bs, i, gen, 0);

		EXPECT_EQ(NULL, diff) TH_LOG("file %d: %s", i, diff);
		diff = file_diff(v->bs, i, gen, O_DIRECT);
		EXPECT_EQ(NULL, diff) TH_LOG("file %d, direct: %s", i, diff);
	}
	ASSERT_EQ(0, stat(vol_path("many"), &st));
	EXPECT_EQ(0750, st.st_mode & 07777);
	EXPECT_LT(v->bs, st.st_size);
	for (i = 0; i < ENTRIES; i++)
		EXPECT_EQ(0, access(vol_path(entry(i)), F_OK)) TH_LOG("entry %d", i);
	EXPECT_EQ(199, readlink(vol_path("slow"), target, sizeof(target)));
	EXPECT_EQ('t', target[198]);
	EXPECT_EQ(40, readlink(vol_path("fast"), target, sizeof(target)));
	ASSERT_EQ(0, stat(vol_path("hard"), &st));
	EXPECT_EQ(2, st.st_nlink);
	ASSERT_EQ(0, stat(vol_path("fifo"), &st));
	EXPECT_EQ(S_IFIFO | 0640, st.st_mode);
	ASSERT_EQ(0, stat(vol_path("dev"), &st));
	EXPECT_EQ(S_IFBLK | 0600, st.st_mode);
	EXPECT_EQ(makedev(259, 66000), st.st_rdev);
}

/* Change what is there: every kind of thing goes, shrinks, grows or moves. */
static void change_tree(struct __test_metadata *_metadata, struct vol *v, uint64_t gen)
{
	int i;

	for (i = 0; i < FILES; i += 2)
		ASSERT_EQ(0, write_file(v->bs, i, gen)) TH_LOG("file %d", i);
	for (i = 1; i < FILES; i += 2) {
		char name[16];

		snprintf(name, sizeof(name), "d/f%d", i);
		ASSERT_EQ(0, truncate(vol_path(name), v->bs / 2));
		ASSERT_EQ(0, unlink(vol_path(name)));
		ASSERT_EQ(0, write_file(v->bs, i, gen));
	}
	ASSERT_EQ(0, unlink(vol_path("hard")));
	ASSERT_EQ(0, link(vol_path("d/f5"), vol_path("hard")));
	ASSERT_EQ(0, rename(vol_path("many"), vol_path("d/many")));
	ASSERT_EQ(0, rename(vol_path("d/many"), vol_path("many")));
	ASSERT_EQ(0, unlink(vol_path("slow")));
	ASSERT_EQ(0, rename(vol_path("fast"), vol_path("fast2")));
}

static void check_changed(struct __test_metadata *_metadata, struct vol *v, uint64_t gen)
{
	struct stat st;
	int i;

	for (i = 0; i < FILES; i++)
		EXPECT_EQ(NULL, file_diff(v->bs, i, gen, i % 2 ? O_DIRECT : 0))
			TH_LOG("file %d", i);
	EXPECT_EQ(0, lstat(vol_path("fast2"), &st));
	EXPECT_EQ(-1, lstat(vol_path("fast"), &st));
	EXPECT_EQ(-1, lstat(vol_path("slow"), &st));
	ASSERT_EQ(0, lstat(vol_path("hard"), &st));
	EXPECT_EQ(2, st.st_nlink);
	for (i = 0; i < ENTRIES; i++)
		EXPECT_EQ(0, access(vol_path(entry(i)), F_OK)) TH_LOG("entry %d", i);
}

TEST_F(interop, ours_read_by_ext4)
{
	make_tree(_metadata, &self->v, 1);
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	check_tree(_metadata, &self->v, 1);
	change_tree(_metadata, &self->v, 2);
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	check_changed(_metadata, &self->v, 2);
}

TEST_F(interop, ext4_read_by_us)
{
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	make_tree(_metadata, &self->v, 1);
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	check_tree(_metadata, &self->v, 1);
	change_tree(_metadata, &self->v, 2);
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	check_changed(_metadata, &self->v, 2);
}

/* The counts of free things that one leaves are those that the other finds. */
TEST_F(interop, free_counts)
{
	struct statfs ours, theirs;

	make_tree(_metadata, &self->v, 1);
	sync();
	ASSERT_EQ(0, statfs(env_dir(), &ours));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	ASSERT_EQ(0, statfs(env_dir(), &theirs));
	EXPECT_EQ(ours.f_bfree, theirs.f_bfree);
	EXPECT_EQ(ours.f_ffree, theirs.f_ffree);
	EXPECT_EQ(ours.f_files, theirs.f_files);
	/* ext4 also counts the blocks kept for more descriptors as not usable */
	EXPECT_LE(theirs.f_blocks, ours.f_blocks);
	EXPECT_EQ(ours.f_bsize, theirs.f_bsize);
	EXPECT_EQ(0, memcmp(&ours.f_fsid, &theirs.f_fsid, sizeof(ours.f_fsid)));
}

TEST_HARNESS_MAIN

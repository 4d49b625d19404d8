// SPDX-License-Identifier: GPL-2.0
/*
 * Volumes with blocks that are larger than a page. The kernel has them if it was built with large folios.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/xattr.h>

#include "allocate.h"
#include "blocks.h"
#include "debugfs.h"
#include "harness.h"
#include "punch.h"

#define PAGE		4096
#define THP		"/sys/kernel/mm/transparent_hugepage"
/* of an entry: where it has its length, and what stands for 64 KiB */
#define REC_LEN		4
#define WHOLE		0xffff

FIXTURE(fs_large_blocks) {
	struct vol v;
};

FIXTURE_VARIANT(fs_large_blocks) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(fs_large_blocks, bs8k) { .conf = { .bs = 8192, .isize = 256, .mib = 16 } };
FIXTURE_VARIANT_ADD(fs_large_blocks, bs16k) { .conf = { .bs = 16384, .isize = 128, .mib = 16 } };
FIXTURE_VARIANT_ADD(fs_large_blocks, bs64k) { .conf = { .bs = 65536, .isize = 256, .mib = 32 } };
FIXTURE_VARIANT_ADD(fs_large_blocks, async_alloc_bs64k) {
	.conf = { .bs = 65536, .isize = 256, .mib = 32, .options = "async_alloc" }
};

FIXTURE_SETUP(fs_large_blocks)
{
	if (access(THP, F_OK))
		SKIP(return, "no large folios in this kernel");
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
}

FIXTURE_TEARDOWN(fs_large_blocks)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

/* Generation 2 where it is marked, else generation 1 or zeroes, of which the file begins with @full bytes. */
struct want {
	size_t len, full;
	bool *two, *zero;
};

#define SECTORS(n)	((n) / 512)

static void want_init(struct want *w, size_t len, size_t full)
{
	w->len = len;
	w->full = full;
	w->two = calloc(SECTORS(len), sizeof(bool));
	w->zero = calloc(SECTORS(len), sizeof(bool));
}

static void want_two(struct want *w, off_t off, size_t len)
{
	size_t i;

	for (i = SECTORS(off); i < SECTORS(off + len); i++) {
		w->two[i] = true;
		w->zero[i] = false;
	}
}

static void want_zero(struct want *w, off_t off, size_t len)
{
	size_t i;

	for (i = SECTORS(off); i < SECTORS(off + len); i++) {
		w->two[i] = false;
		w->zero[i] = true;
	}
}

static const char *want_diff(const struct want *w, const char *buf)
{
	const char *diff = NULL;
	size_t i;

	for (i = 0; i < SECTORS(w->len) && !diff; i++) {
		const off_t pos = i * 512;
		const char *at = buf + pos;

		if (w->two[i])
			diff = pattern_diff(at, 512, pos, 2);
		else if (w->zero[i] || pos >= (off_t)w->full)
			diff = zero_diff(at, 512, pos);
		else
			diff = pattern_diff(at, 512, pos, 1);
	}
	return diff;
}

/* As a reader sees it, a direct one, and by a mapping. */
static void want_seen(struct __test_metadata *_metadata, const struct want *w, const char *name)
{
	char *back = buf_alloc(w->len), *map;
	int fd = vol_open(name, O_RDONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ((off_t)w->len, file_size(fd));
	ASSERT_EQ((ssize_t)w->len, vol_read(name, O_DIRECT, back, w->len, 0));
	EXPECT_NULL_DIFF(want_diff(w, back));
	ASSERT_EQ((ssize_t)w->len, pread(fd, back, w->len, 0));
	EXPECT_NULL_DIFF(want_diff(w, back));
	map = mmap(NULL, w->len, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_NULL_DIFF(want_diff(w, map));
	munmap(map, w->len);
	munmap(back, w->len);
	close(fd);
}

/* Parts of blocks, written in all ways, over what is there, in holes and past EOF: what is beside them stays. */
TEST_F(fs_large_blocks, parts_of_blocks)
{
	const size_t bs = self->v.bs, len = 24 * bs, part = bs / 4;
	char *buf = buf_alloc(len), *map;
	struct want w;
	int fd, dfd;

	want_init(&w, len, 6 * bs);
	ASSERT_EQ(0, vol_prefill("f", 0, 6 * bs, 1));
	ASSERT_EQ(0, vol_remount(&self->v));
	fd = vol_open("f", O_RDWR);
	dfd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, dfd);
	pattern_fill(buf, len, 0, 2);
	/* over blocks that are there, from the middle of one to that of another */
#define DO(how, off, n) do { \
		ASSERT_EQ((ssize_t)(n), pwrite(how, buf + (off), n, off)); \
		want_two(&w, off, n); \
	} while (0)
	DO(fd, part, bs);
	DO(dfd, 3 * bs + part, bs);
	/* past EOF, with a hole before, and then into the block of EOF */
	DO(dfd, 8 * bs + part, part);
	DO(fd, 8 * bs + 2 * part, 512);
	DO(dfd, 9 * bs - 512, bs);
	DO(fd, 12 * bs + 512, 2 * bs);
	/* holes */
	DO(dfd, 7 * bs + part, part);
	DO(fd, 11 * bs + part, part);
	ASSERT_EQ(0, ftruncate(fd, len));
	DO(dfd, 20 * bs + 2 * part, bs);
	/* a page of a hole, of a block that is there, and of the last block */
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
#define STORE(off) do { \
		memcpy(map + (off), buf + (off), PAGE); \
		want_two(&w, off, PAGE); \
	} while (0)
	STORE(17 * bs + bs / 2);
	STORE(5 * bs);
	STORE(len - PAGE);
	want_seen(_metadata, &w, "f");
	munmap(map, len);
	close(fd);
	close(dfd);
	ASSERT_EQ(0, vol_remount(&self->v));
	want_seen(_metadata, &w, "f");
	/* blocks that are holes have none */
	fd = vol_open("f", O_RDONLY);
	EXPECT_EQ(0, block_of(fd, 6));
	EXPECT_EQ(0, block_of(fd, 18));
	EXPECT_NE(0, block_of(fd, 17));
	EXPECT_EQ(6 * (off_t)bs, lseek(fd, 0, SEEK_HOLE));
	EXPECT_EQ(7 * (off_t)bs, lseek(fd, 6 * bs, SEEK_DATA));
	close(fd);
	/* the kernel's own driver sees the same, and what that writes is seen here */
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	want_seen(_metadata, &w, "f");
	fd = vol_open("f", O_RDWR);
	DO(fd, 18 * bs + part, part);
	close(fd);
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	want_seen(_metadata, &w, "f");
}

/* Blocks are cut, punched, zeroed and allocated in parts: nothing of what was there, or on the device, comes back. */
TEST_F(fs_large_blocks, parts_that_go)
{
	const size_t bs = self->v.bs, len = 16 * bs, part = bs / 4;
	char *buf = buf_alloc(len);
	struct want w;
	int i, fd;

	for (i = 0; i < 2; i++) {
		want_init(&w, len, len);
		ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
		if (i)
			ASSERT_EQ(0, vol_remount(&self->v));
		fd = vol_open("f", O_RDWR);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ftruncate(fd, 14 * bs + part));
		ASSERT_EQ(0, ftruncate(fd, len));
		want_zero(&w, 14 * bs + part, len - 14 * bs - part);
		ASSERT_EQ(0, punch(fd, part, PAGE));
		want_zero(&w, part, PAGE);
		ASSERT_EQ(0, punch(fd, bs + part, 2 * bs));
		want_zero(&w, bs + part, 2 * bs);
		EXPECT_EQ(0, block_of(fd, 2));
		ASSERT_EQ(0, allocate(fd, FALLOC_FL_ZERO_RANGE, 5 * bs + 512, 2 * bs));
		want_zero(&w, 5 * bs + 512, 2 * bs);
		ASSERT_EQ(0, allocate(fd, 0, 0, len));
		EXPECT_NE(0, block_of(fd, 2));
		EXPECT_NE(0, block_of(fd, 15));
		pattern_fill(buf, part, 2 * bs + part, 2);
		ASSERT_EQ((ssize_t)part, pwrite(fd, buf, part, 2 * bs + part));
		want_two(&w, 2 * bs + part, part);
		want_seen(_metadata, &w, "f");
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		want_seen(_metadata, &w, "f");
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/* Asynchronous appends, which end within blocks, one behind the other. */
TEST_F(fs_large_blocks, appended)
{
	const size_t bs = self->v.bs, len = 6 * bs, part = bs / 2 - 512;
	char *buf = buf_alloc(len), *back = buf_alloc(len);
	size_t pos, n;
	struct iocb cb;
	int fd;

	pattern_fill(buf, len, 0, 1);
	fd = vol_open("f", O_RDWR | O_CREAT | O_DIRECT);
	ASSERT_LE(0, fd);
	for (pos = 0; pos < len; pos += n) {
		n = pos + part > len ? len - pos : part;
		aio_prep_write(&cb, fd, buf + pos, n, pos);
		ASSERT_EQ((ssize_t)n, aio_do(&cb));
		ASSERT_EQ((off_t)(pos + n), file_size(fd));
		ASSERT_EQ((ssize_t)(pos + n), vol_read("f", O_RDONLY, back, len, 0));
		EXPECT_PATTERN(back, pos + n, 0, 1);
	}
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(vol_holds("f", len, 1));
}

static const char *long_name(const char *dir, int i)
{
	static char name[300];

	snprintf(name, sizeof(name), "%s/%0250d", dir, i);
	return name;
}

static int listed(const char *dir)
{
	DIR *d = opendir(vol_path(dir));
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static int link_many(const char *dir, int nr)
{
	int i, err = 0;

	for (i = 0; !err && i < nr; i++)
		err = vol_link("f", long_name(dir, i));
	return err;
}

static int unlink_many(const char *dir, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (unlink(vol_path(long_name(dir, i))))
			return -errno;
	return 0;
}

/*
 * Directories that get more blocks, and lose all names of them. ext4 leaves one entry in such a block: in one of
 * 64 KiB it has a length that its field does not hold.
 */
TEST_F(fs_large_blocks, names)
{
	const int bs = self->v.bs, nr = 3 * bs / 260;
	int i, blocks, whole = 0;
	struct stat st;

	/* of one file, as there are few inodes */
	ASSERT_EQ(0, vol_prefill("f", 0, 1000, 1));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, link_many("d", nr));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	ASSERT_LE(3 * bs, st.st_size);
	EXPECT_EQ(nr, listed("d"));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(nr, listed("d"));
	for (i = 0; i < nr; i++)
		EXPECT_TRUE(vol_exists(long_name("d", i)));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_EQ(nr, listed("d"));
	ASSERT_EQ(0, vol_mkdir("e"));
	ASSERT_EQ(0, link_many("e", nr));
	ASSERT_EQ(0, unlink_many("e", nr));
	ASSERT_EQ(0, stat(vol_path("e"), &st));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	ASSERT_EQ(0, unlink_many("d", nr));
	EXPECT_EQ(0, listed("d"));
	EXPECT_EQ(0, listed("e"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_fsck(&self->v));
	blocks = st.st_size / bs;
	for (i = 1; i < blocks; i++) {
		const long block = debugfs_block(&self->v, "e", i);

		ASSERT_LT(0, block);
		whole += vol_dev_get(&self->v, 16, (off_t)block * bs + REC_LEN) == (bs > WHOLE ? WHOLE : bs);
	}
	EXPECT_LT(0, whole);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	/* they are found, and there is room in them */
	ASSERT_EQ(0, link_many("d", nr));
	ASSERT_EQ(0, link_many("e", nr));
	EXPECT_EQ(nr, listed("d"));
	EXPECT_EQ(nr, listed("e"));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_EQ(nr, listed("d"));
	EXPECT_EQ(nr, listed("e"));
	ASSERT_EQ(0, unlink_many("d", nr));
	ASSERT_EQ(0, unlink_many("e", nr));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_EQ(0, listed("d"));
	EXPECT_EQ(0, listed("e"));
	EXPECT_EQ(0, rmdir(vol_path("d")));
	EXPECT_EQ(0, rmdir(vol_path("e")));
}

/* A target that is in a block, and attributes that fill one. */
TEST_F(fs_large_blocks, targets_and_attributes)
{
	const size_t room = self->v.bs - 1000;
	char target[4096], back[4096], *value = buf_alloc(64 * KIB), *got = buf_alloc(64 * KIB);

	memset(target, 'x', 3000);
	target[3000] = 0;
	ASSERT_EQ(0, symlink(target, vol_path("link")));
	ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
	pattern_fill(value, 64 * KIB, 0, 3);
	ASSERT_EQ(0, setxattr(vol_path("f"), "user.large", value, room, 0));
	ASSERT_EQ(0, setxattr(vol_path("f"), "user.small", "some", 4, 0));
	EXPECT_EQ(-1, setxattr(vol_path("f"), "user.more", value, 2000, 0));
	EXPECT_EQ(ENOSPC, errno);
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(3000, readlink(vol_path("link"), back, sizeof(back)));
	EXPECT_EQ(0, memcmp(target, back, 3000));
	EXPECT_EQ((ssize_t)room, getxattr(vol_path("f"), "user.large", got, 64 * KIB));
	EXPECT_PATTERN(got, room & ~511UL, 0, 3);
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_EQ(3000, readlink(vol_path("link"), back, sizeof(back)));
	EXPECT_EQ((ssize_t)room, getxattr(vol_path("f"), "user.large", got, 64 * KIB));
	EXPECT_EQ(4, getxattr(vol_path("f"), "user.small", got, 64 * KIB));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_EQ(0, removexattr(vol_path("f"), "user.large"));
}

/* What is free of a group is counted in 16 bits: no group has more blocks or inodes, though a bitmap has room for them. */
TEST_F(fs_large_blocks, countable_groups)
{
	const int kmsg = kmsg_open();

	ASSERT_LE(0, kmsg);
	if (!env_is_retryfs())
		SKIP(return, "ext4 counts with more bits on other volumes");
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ssv blocks_per_group 65536"));
	EXPECT_NE(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "blocks per group", "65536", NULL }));
	ASSERT_EQ(0, vol_mkfs(&self->v, &variant->conf));
}

/* The kernel has no swap files of such blocks. It says so, and nothing is swapped to elsewhere. */
TEST_F(fs_large_blocks, swap)
{
	const char *const mkswap[] = { "mkswap", vol_path("swap"), NULL };

	if (!env_is_retryfs())
		SKIP(return, "other filesystems may have them");
	ASSERT_EQ(0, vol_prefill("swap", 0, 1 * MIB, 1));
	ASSERT_EQ(0, chmod(vol_path("swap"), 0600));
	ASSERT_EQ(0, run(0, mkswap));
	EXPECT_EQ(-1, swapon(vol_path("swap"), 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * What cannot be mounted is refused with an errno that says why and, in the log,
 * with one line that names it; what can be read only is mounted read-only only.
 */
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "harness.h"

/* offsets on the device */
#define SUPER		1024
#define S_MAGIC		(SUPER + 0x38)
#define S_STATE		(SUPER + 0x3a)
#define S_INCOMPAT	(SUPER + 0x60)
#define S_RO_COMPAT	(SUPER + 0x64)
#define HEAD		(16 * KIB)	/* superblock and group descriptors */

/* A volume that is not mounted, and what its head looked like. */
FIXTURE(mount_errors) {
	struct vol v;
	char *head;
	int kmsg;
};

FIXTURE_VARIANT(mount_errors) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(mount_errors, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(mount_errors, bs4k) { .conf = VOL_4K };

FIXTURE_SETUP(mount_errors)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	ASSERT_EQ(0, vol_prefill("f", 0, 100 * KIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	self->head = buf_alloc(HEAD);
	ASSERT_EQ(0, vol_dev_read(&self->v, self->head, HEAD, 0));
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	if (!env_is_retryfs())
		SKIP(return, "the messages and limits of retryfs");
}

FIXTURE_TEARDOWN(mount_errors)
{
	vol_unroute(&self->v);
	if (self->v.mounted)
		vol_umount(&self->v);
	EXPECT_EQ(0, vol_dev_write(&self->v, self->head, HEAD, 0));
	EXPECT_EQ(0, vol_down(&self->v));
}

static int patch32(struct vol *v, off_t off, uint32_t val)
{
	val = htole32(val);
	return vol_dev_write(v, &val, sizeof(val), off);
}

static uint32_t head32(const char *head, off_t off)
{
	uint32_t val;

	memcpy(&val, head + off, sizeof(val));
	return le32toh(val);
}

static int try_mount(struct vol *v, unsigned long flags, const char *data)
{
	return vol_mount(v, env_fstype(), flags, data);
}

TEST_F(mount_errors, good)
{
	char *buf = buf_alloc(100 * KIB);
	int fd;

	/* the others prove nothing if this does not work */
	ASSERT_EQ(0, try_mount(&self->v, 0, NULL));
	fd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(100 * KIB, read(fd, buf, 100 * KIB));
	EXPECT_PATTERN(buf, 100 * KIB, 0, 1);
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	/* both made a mark in the superblock */
	ASSERT_EQ(0, vol_dev_read(&self->v, self->head, HEAD, 0));
}

TEST_F(mount_errors, not_ext2)
{
	static const unsigned char fills[] = { 0x00, 0xff, 0x5a };
	char *junk = buf_alloc(HEAD);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fills); i++) {
		memset(junk, fills[i], HEAD);
		ASSERT_EQ(0, vol_dev_write(&self->v, junk, HEAD, 0));
		EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, NULL));
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", strrchr(self->v.dev, '/') + 1, "not an ext2", NULL }));
	}
	poison_fill(junk, HEAD);
	ASSERT_EQ(0, vol_dev_write(&self->v, junk, HEAD, 0));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, MS_RDONLY, NULL));
}

TEST_F(mount_errors, truncated)
{
	static const uint64_t sectors[] = { 131064, 65536, 1024, 16, 8 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sectors); i++) {
		ASSERT_EQ(0, vol_cut(&self->v, sectors[i]));
		EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, NULL));
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "truncated", NULL }));
	}
	/* not even the superblock: by then it only has to be refused */
	ASSERT_EQ(0, vol_cut(&self->v, 2));
	EXPECT_GT(0, try_mount(&self->v, 0, NULL));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, try_mount(&self->v, 0, NULL));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_read(&self->v, self->head, HEAD, 0));
}

TEST_F(mount_errors, incompatible_feature)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} features[] = {
		{ 0x00000001, "compression" },
		{ 0x00000004, "needs_recovery" },
		{ 0x00000008, "journal_dev" },
		{ 0x00000040, "extent" },
		{ 0x00000080, "64bit" },
		{ 0x00000200, "flex_bg" },
		{ 0x00008000, "inline_data" },
		{ 0x00010000, "encrypt" },
		{ 0x80000000, "0x80000000" },
	};
	uint32_t old = head32(self->head, S_INCOMPAT);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		ASSERT_EQ(0, patch32(&self->v, S_INCOMPAT, old | features[i].bit));
		EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, NULL))
			TH_LOG("%s", features[i].name);
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "feature", features[i].name, NULL }));
		EXPECT_EQ(-EINVAL, try_mount(&self->v, MS_RDONLY, NULL));
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "feature", features[i].name, NULL }));
	}
	/* two at once: both are named */
	ASSERT_EQ(0, patch32(&self->v, S_INCOMPAT, old | 0xc0));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, NULL));
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){ "extent", "64bit", NULL }));
}

TEST_F(mount_errors, read_only_compatible_feature)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} features[] = {
		{ 0x00000100, "quota" },
		{ 0x00000400, "metadata_csum" },
		{ 0x80000000, "0x80000000" },
	};
	uint32_t old = head32(self->head, S_RO_COMPAT);
	char *buf = buf_alloc(100 * KIB);
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		ASSERT_EQ(0, patch32(&self->v, S_RO_COMPAT, old | features[i].bit));
		EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, NULL))
			TH_LOG("%s", features[i].name);
		EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
			"retryfs", "read-only", features[i].name, NULL }));
		ASSERT_EQ(0, try_mount(&self->v, MS_RDONLY, NULL));
		fd = vol_open("f", O_RDONLY | O_DIRECT);
		ASSERT_LE(0, fd);
		ASSERT_EQ(100 * KIB, read(fd, buf, 100 * KIB));
		EXPECT_PATTERN(buf, 100 * KIB, 0, 1);
		close(fd);
		EXPECT_EQ(-EROFS, vol_open("g", O_CREAT | O_RDWR));
		/* and it does not become writable later */
		EXPECT_EQ(-1, mount(NULL, env_dir(), NULL, MS_REMOUNT, NULL));
		EXPECT_EQ(EROFS, errno);
		EXPECT_EQ(-EROFS, vol_open("g", O_CREAT | O_RDWR));
		ASSERT_EQ(0, vol_umount(&self->v));
	}
}

TEST_F(mount_errors, bad_option)
{
	EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, "nonsense"));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, "errors=perhaps"));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, 0, "errors=continue,nonsense=1"));
	EXPECT_EQ(0, try_mount(&self->v, 0, "errors=remount-ro"));
	EXPECT_EQ(-1, mount(NULL, env_dir(), NULL, MS_REMOUNT, "nonsense"));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(0, try_mount(&self->v, MS_RDONLY, "errors=continue"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_read(&self->v, self->head, HEAD, 0));
}

/* fspick(2): an option is changed, and nothing else: the mount stays read-only, the device untouched. */
TEST_F(mount_errors, option_of_a_read_only_mount)
{
	char *now = buf_alloc(HEAD);
	int fs;

	ASSERT_EQ(0, try_mount(&self->v, MS_RDONLY, NULL));
	fs = fspick(AT_FDCWD, env_dir(), FSPICK_CLOEXEC);
	ASSERT_LE(0, fs);
	ASSERT_EQ(0, fsconfig(fs, FSCONFIG_SET_STRING, "errors", "continue", 0));
	ASSERT_EQ(0, fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
	close(fs);
	EXPECT_EQ(-EROFS, vol_open("g", O_CREAT | O_RDWR));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_read(&self->v, now, HEAD, 0));
	EXPECT_EQ(0, memcmp(now, self->head, HEAD));
}

TEST_F(mount_errors, read_only_device)
{
	int fd = open(self->v.dev, O_RDONLY);
	int on = 1, off = 0;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, BLKROSET, &on));
	EXPECT_EQ(-EACCES, try_mount(&self->v, 0, NULL));
	EXPECT_EQ(0, try_mount(&self->v, MS_RDONLY, NULL));
	EXPECT_EQ(-1, mount(NULL, env_dir(), NULL, MS_REMOUNT, NULL));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, ioctl(fd, BLKROSET, &off));
	close(fd);
}

/* Not clean: mounted all the same, with a warning, as ext2 does. */
TEST_F(mount_errors, not_clean)
{
	uint32_t old = head32(self->head, S_STATE);

	ASSERT_EQ(0, patch32(&self->v, S_STATE, old & ~1U));
	EXPECT_EQ(0, try_mount(&self->v, MS_RDONLY, NULL));
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){ "retryfs", "e2fsck", NULL }));
	ASSERT_EQ(0, vol_umount(&self->v));
}

/* errors=remount-ro: files that are open for writing already are no way around it. */
TEST_F(mount_errors, read_only_after_an_error)
{
	const char *const crack[] = { "debugfs", "-w", "-R", "sif f block[IND] 0xffffffff",
				      self->v.dev, NULL };
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	const size_t bs = self->v.bs;
	char *buf = buf_alloc(bs);
	enum way how;
	int fd, bfd, bad, kept;

	ASSERT_EQ(0, run(0, crack));
	ASSERT_EQ(0, try_mount(&self->v, 0, "errors=remount-ro"));
	fd = vol_open("g", O_CREAT | O_RDWR | O_DIRECT);
	bfd = vol_open("g", O_RDWR);
	kept = vol_open("kept", O_CREAT | O_RDWR);
	ASSERT_LE(0, kept);
	bad = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, bfd);
	ASSERT_LE(0, bad);
	pattern_fill(buf, bs, 0, 1);
	ASSERT_EQ(bs, pwrite(fd, buf, bs, 0));
	/* in the page cache only, and acknowledged */
	ASSERT_EQ(bs, pwrite(kept, buf, bs, 0));
	ASSERT_EQ(-1, pread(bad, buf, bs, 20 * bs));
	EXPECT_EQ(EUCLEAN, errno);
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){ "retryfs", "corrupt", "inode", NULL }));
	pattern_fill(buf, bs, 0, 2);
	for (how = SYNC; how <= ASYNC; how++) {
		EXPECT_EQ(-EROFS, do_write(how, fd, buf, bs, 0));
		EXPECT_EQ(-EROFS, do_write(how, fd, buf, bs, bs));
		EXPECT_EQ(-EROFS, do_write(how, bfd, buf, bs, 0));
	}
	EXPECT_EQ(-1, ftruncate(bfd, 0));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-1, fallocate(bfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, bs));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(-EROFS, vol_open("h", O_CREAT | O_RDWR));
	EXPECT_EQ(-1, fchmod(bfd, 0600));
	EXPECT_EQ(EROFS, errno);
	/* nothing of that stands in the way of who freezes the volume */
	ASSERT_EQ(0, ioctl(bfd, FIFREEZE, 0));
	ASSERT_EQ(0, ioctl(bfd, FITHAW, 0));
	EXPECT_EQ(-EROFS, do_write(SYNC, bfd, buf, bs, 0));
	ASSERT_EQ(bs, pread(fd, buf, bs, 0));
	EXPECT_PATTERN(buf, bs, 0, 1);
	close(fd);
	close(bfd);
	close(bad);
	close(kept);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, mend));
	ASSERT_EQ(0, try_mount(&self->v, 0, NULL));
	kept = vol_open("kept", O_RDONLY);
	ASSERT_LE(0, kept);
	EXPECT_EQ(bs, pread(kept, buf, bs, 0));
	EXPECT_PATTERN(buf, bs, 0, 1);
	close(kept);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_read(&self->v, self->head, HEAD, 0));
}

/* A hole over a pointer to nowhere: what comes before is freed, and nothing else is touched. */
TEST_F(mount_errors, hole_in_a_corrupt_file)
{
	const char *const crack[] = { "debugfs", "-w", "-R", "sif f block[IND] 0xffffffff",
				      self->v.dev, NULL };
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	const size_t bs = self->v.bs;
	char *buf = buf_alloc(12 * bs);
	struct stat st0, st;
	int fd;

	ASSERT_EQ(0, run(0, crack));
	ASSERT_EQ(0, try_mount(&self->v, 0, "errors=continue"));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st0));
	ASSERT_EQ(-1, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * bs, 8 * bs));
	EXPECT_EQ(EUCLEAN, errno);
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){ "retryfs", "corrupt", "inode", NULL }));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(st0.st_blocks - 2 * bs / 512, st.st_blocks);
	ASSERT_EQ(12 * bs, pread(fd, buf, 12 * bs, 0));
	EXPECT_PATTERN(buf, 10 * bs, 0, 1);
	EXPECT_ZERO(buf + 10 * bs, 2 * bs, 10 * bs);
	close(fd);
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, mend));
	ASSERT_EQ(0, vol_dev_read(&self->v, self->head, HEAD, 0));
}

/* A group descriptor that points out of the volume. */
TEST_F(mount_errors, bad_group_descriptor)
{
	off_t desc = self->v.bs == 1024 ? 2048 : self->v.bs;
	static const uint32_t bad[] = { 0xffffffff, 0, 0x7fffffff };
	size_t i;
	int field;

	for (field = 0; field < 3; field++) {
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			ASSERT_EQ(0, patch32(&self->v, desc + 4 * field, bad[i]));
			EXPECT_EQ(-EUCLEAN, try_mount(&self->v, 0, NULL))
				TH_LOG("field %d, %#x", field, bad[i]);
			EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
				"retryfs", "corrupt", NULL }));
		}
		ASSERT_EQ(0, vol_dev_write(&self->v, self->head + desc, 32, desc));
	}
}

/* Counters that cannot be: what is free is not more than there is. */
TEST_F(mount_errors, more_free_than_there_is)
{
	off_t desc = self->v.bs == 1024 ? 2048 : self->v.bs;
	struct statfs st;
	int group;

	/* free blocks and free inodes, of as many groups as there may be */
	for (group = 0; group < 8; group++) {
		if (head32(self->head, desc + 32 * group))
			ASSERT_EQ(0, patch32(&self->v, desc + 32 * group + 12, 0xffffffff));
	}
	ASSERT_EQ(0, try_mount(&self->v, MS_RDONLY, NULL));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_LE(st.f_bfree, st.f_blocks);
	EXPECT_LE(st.f_bavail, st.f_bfree);
	EXPECT_LE(st.f_ffree, st.f_files);
	ASSERT_EQ(0, vol_umount(&self->v));
}

/*
 * Every word of the superblock with values it must not have, or may not: there
 * is an error, or a volume that can be looked at; never an oops or a hang.
 */
TEST_F(mount_errors, hostile_superblock)
{
	static const uint32_t vals[] = { 0, 1, 0x7fffffff, 0xffffffff };
	int mounted = 0, refused = 0;
	off_t off;
	size_t i;

	for (off = SUPER; off < SUPER + 0x70; off += 4) {
		for (i = 0; i < ARRAY_SIZE(vals); i++) {
			struct statfs st;
			DIR *d;

			ASSERT_EQ(0, patch32(&self->v, off, vals[i]));
			if (try_mount(&self->v, MS_RDONLY, NULL)) {
				refused++;
				continue;
			}
			mounted++;
			EXPECT_EQ(0, statfs(env_dir(), &st));
			d = opendir(env_dir());
			if (d) {
				while (readdir(d))
					;
				closedir(d);
			}
			ASSERT_EQ(0, vol_umount(&self->v));
		}
		ASSERT_EQ(0, vol_dev_write(&self->v, self->head + off, 4, off));
	}
	/* the times and counters do not matter, the geometry does */
	EXPECT_LT(20, mounted);
	EXPECT_LT(20, refused);
}

TEST_HARNESS_MAIN

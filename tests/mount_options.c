// SPDX-License-Identifier: GPL-2.0
/*
 * The options of a mount: what an ordinary line of fstab for ext2 has is taken, does
 * what it does there, and is shown; and what the log says at mount.
 */
#include <endian.h>
#include <fcntl.h>
#include <mntent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "debugfs.h"
#include "harness.h"

/* offsets on the device */
#define SUPER		1024
#define S_BLOCKS	(SUPER + 0x04)
#define S_MOUNTS	(SUPER + 0x34)
#define S_MAX_MOUNTS	(SUPER + 0x36)
#define S_CHECKED	(SUPER + 0x40)
#define S_INTERVAL	(SUPER + 0x44)
#define S_REVISION	(SUPER + 0x4c)
#define S_PLACE		(SUPER + 0x88)
#define S_KBYTES	(SUPER + 0x178)
#define S_OPTIONS	(SUPER + 0x200)

FIXTURE(mount_options) {
	struct vol v;
	int kmsg;
};

FIXTURE_VARIANT(mount_options) {
	struct vol_conf conf;
};

FIXTURE_VARIANT_ADD(mount_options, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(mount_options, bs4k) { .conf = SMALL_4K };

FIXTURE_SETUP(mount_options)
{
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf));
	ASSERT_EQ(0, vol_prefill("f", 0, 100 * KIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
}

FIXTURE_TEARDOWN(mount_options)
{
	EXPECT_EQ(0, vol_down(&self->v));
}

static int try_mount(struct vol *v, const char *data)
{
	return vol_mount(v, env_fstype(), 0, data);
}

static int remount(const char *data)
{
	return mount(NULL, env_dir(), NULL, MS_REMOUNT, data) ? -errno : 0;
}

static bool shown(const char *option)
{
	FILE *f = setmntent("/proc/mounts", "r");
	struct mntent *m;
	bool found = false;

	while (f && (m = getmntent(f)))
		if (!strcmp(m->mnt_dir, env_dir()))
			found = hasmntopt(m, option);
	if (f)
		endmntent(f);
	return found;
}

/* How an option is shown that was given by another of its names. */
static const char *shown_as(const char *option)
{
	static const char *const names[][2] = {
		{ "bsdgroups", "grpid" }, { "sysvgroups", "nogrpid" }, { "check=none", "nocheck" },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(option, names[i][0]))
			return names[i][1];
	return option;
}

TEST_F(mount_options, those_of_ext2)
{
	static const char *const words[] = {
		"minixdf", "bsddf", "nouid32", "debug", "oldalloc", "orlov", "reservation",
		"noreservation", "nobh", "usrquota", "grpquota", "quota", "noquota", "sb=1",
		"errors=continue", "errors=remount-ro", "errors=panic", "resuid=7", "resgid=8",
		"grpid", "nogrpid", "bsdgroups", "sysvgroups", "acl", "noacl", "user_xattr",
		"nouser_xattr", "nocheck", "check=none", "bh",
		/* of ext4 */
		"discard", "nodiscard", "barrier", "nobarrier", "delalloc", "nodelalloc", "block_validity",
		"noblock_validity", "init_itable", "noinit_itable", "noload", "norecovery",
		"i_version", "auto_da_alloc", "noauto_da_alloc", "dioread_lock", "dioread_nolock",
		"nodioread_nolock", "nombcache", "no_mbcache", "prjquota", "prefetch_block_bitmaps",
		"no_prefetch_block_bitmaps",
	};
	int i;

	if (!env_is_retryfs())
		SKIP(return, "ext4 shows what is not the default, and takes others");
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		EXPECT_EQ(0, try_mount(&self->v, words[i]))
			TH_LOG("%s", words[i]);
		if (!self->v.mounted)
			continue;
		EXPECT_TRUE(shown(shown_as(words[i])))
			TH_LOG("%s", words[i]);
		if (strstr(words[i], "quota") && strcmp(words[i], "noquota")) {
			EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
				"retryfs", strrchr(self->v.dev, '/') + 1, words[i], "not supported",
				NULL }));
		}
		ASSERT_EQ(0, vol_umount(&self->v));
	}
	/* a whole line, and what takes back what */
	ASSERT_EQ(0, try_mount(&self->v, "minixdf,usrquota,grpquota,errors=remount-ro,nobh,acl"));
	ASSERT_EQ(0, remount("bsddf,noquota,errors=continue,discard"));
	EXPECT_TRUE(shown("discard"));
	ASSERT_EQ(0, remount("nodiscard"));
	EXPECT_TRUE(shown("nodiscard"));
	EXPECT_FALSE(shown("discard"));
	EXPECT_TRUE(shown("bsddf"));
	EXPECT_FALSE(shown("minixdf"));
	EXPECT_FALSE(shown("usrquota"));
	EXPECT_FALSE(shown("grpquota"));
	EXPECT_TRUE(shown("nobh"));
	EXPECT_TRUE(shown("errors=continue"));
	EXPECT_EQ(-EINVAL, remount("minixdf=3"));
	EXPECT_FALSE(shown("emergency_ro"));
	EXPECT_EQ(0, remount("barrier=1,commit=30,stripe=16,init_itable=10,inode_readahead_blks=8"));
	EXPECT_EQ(0, remount("min_batch_time=0,max_batch_time=15000,mb_optimize_scan=1"));
	/* what asks for something that there is not */
	EXPECT_EQ(-EINVAL, remount("data=ordered"));
	EXPECT_EQ(-EINVAL, remount("journal_checksum"));
	EXPECT_EQ(-EINVAL, remount("check=strict"));
}

/* What tune2fs(8) has put into the superblock is as if it was given, but for what is given. */
TEST_F(mount_options, in_the_superblock)
{
	uint32_t blocks = vol_dev_get(&self->v, 32, S_BLOCKS);
	struct statfs st;

	if (!env_is_retryfs())
		SKIP(return, "ext4 takes none if there is one that it does not know");
	/* tune2fs(8) takes a comma for the end */
	ASSERT_EQ(0, debugfs(&self->v, "ssv mount_opts minixdf,resuid=7,nonsense,nodelalloc"));
	ASSERT_EQ(0, try_mount(&self->v, NULL));
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
		"retryfs", strrchr(self->v.dev, '/') + 1, "superblock", "nonsense", NULL }));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_EQ(blocks, st.f_blocks);
	/* these were not given */
	EXPECT_FALSE(shown("minixdf"));
	ASSERT_EQ(0, remount("bsddf"));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_GT(blocks, st.f_blocks);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, try_mount(&self->v, "bsddf"));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_GT(blocks, st.f_blocks);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_OPTIONS, 0));
	ASSERT_EQ(0, try_mount(&self->v, NULL));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_GT(blocks, st.f_blocks);
}

/* "Last mounted on" and "Lifetime writes". */
TEST_F(mount_options, told_by_the_superblock)
{
	char place[64] = {};
	uint64_t before, after;
	int fd;

	ASSERT_EQ(0, vol_dev_write(&self->v, place, sizeof(place), S_PLACE));
	ASSERT_EQ(0, vol_dev_read(&self->v, &before, 8, S_KBYTES));
	/* who only reads leaves it alone */
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	fd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_read_write());
	ASSERT_EQ(0, vol_dev_read(&self->v, place, sizeof(place), S_PLACE));
	EXPECT_EQ(0, place[0]);
	close(fd);
	/* the first file that is opened says where, also if it is only read */
	fd = vol_open("f", O_RDONLY);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, vol_dev_read(&self->v, place, sizeof(place), S_PLACE));
	EXPECT_EQ(0, strcmp(place, env_dir()))
		TH_LOG("%.64s", place);
	ASSERT_EQ(0, vol_prefill("g", 0, 2 * MIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_read(&self->v, &after, 8, S_KBYTES));
	EXPECT_LE(2048, le64toh(after) - le64toh(before));
	EXPECT_GT(4096, le64toh(after) - le64toh(before));
}

TEST_F(mount_options, minixdf)
{
	uint32_t blocks = vol_dev_get(&self->v, 32, S_BLOCKS);
	struct statfs st;

	ASSERT_EQ(0, try_mount(&self->v, "minixdf"));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_EQ(blocks, st.f_blocks);
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, try_mount(&self->v, "bsddf"));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	EXPECT_GT(blocks, st.f_blocks);
}

/* Owners of 16 bits: by the option, and by the default of the volume. */
TEST_F(mount_options, nouid32)
{
	const char *const uid16[] = { "tune2fs", "-o", "uid16", self->v.dev, NULL };
	const char *const uid32[] = { "tune2fs", "-o", "^uid16", self->v.dev, NULL };
	struct stat st;
	int i;

	for (i = 0; i < 2; i++) {
		const char *option = i ? NULL : "nouid32";

		ASSERT_EQ(0, try_mount(&self->v, NULL));
		ASSERT_EQ(0, chown(vol_path("f"), 70000, 70001));
		ASSERT_EQ(0, vol_umount(&self->v));
		ASSERT_EQ(0, i ? run(0, uid16) : 0);
		ASSERT_EQ(0, try_mount(&self->v, option));
		ASSERT_EQ(0, stat(vol_path("f"), &st));
		EXPECT_EQ(70000 & 0xffff, st.st_uid);
		EXPECT_EQ(70001 & 0xffff, st.st_gid);
		ASSERT_EQ(0, chown(vol_path("f"), 80000, 1234));
		ASSERT_EQ(0, vol_umount(&self->v));
		ASSERT_EQ(0, try_mount(&self->v, option));
		ASSERT_EQ(0, stat(vol_path("f"), &st));
		EXPECT_EQ(65534, st.st_uid);
		EXPECT_EQ(1234, st.st_gid);
		ASSERT_EQ(0, vol_umount(&self->v));
		ASSERT_EQ(0, run(0, uid32));
		ASSERT_EQ(0, try_mount(&self->v, NULL));
		ASSERT_EQ(0, stat(vol_path("f"), &st));
		EXPECT_EQ(65534, st.st_uid);
		ASSERT_EQ(0, vol_umount(&self->v));
	}
}

/* The superblock and the descriptors at the begin are gone. */
TEST_F(mount_options, backup_superblock)
{
	const char *const mend[] = { "e2fsck", "-fy", "-b", "8193", "-B", "1024", self->v.dev,
				     NULL };
	char *zeroes = buf_alloc(2 * KIB);

	if (self->v.bs != 1024)
		SKIP(return, "there is one group");
	ASSERT_EQ(0, vol_dev_write(&self->v, zeroes, 2 * KIB, SUPER));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, NULL));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, "sb=1"));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, "sb=0"));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, "sb=8192"));
	EXPECT_GT(0, try_mount(&self->v, "sb=4294967295"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, "sb=8193"));
	EXPECT_TRUE(vol_holds("f", 100 * KIB, 1));
	EXPECT_TRUE(shown("sb=8193"));
	ASSERT_EQ(0, vol_umount(&self->v));
	/* the counters in it are those of mkfs: they are counted anew */
	ASSERT_EQ(0, try_mount(&self->v, "sb=8193,errors=remount-ro"));
	EXPECT_EQ(0, vol_prefill("g", 0, 100 * KIB, 2));
	EXPECT_TRUE(vol_holds("f", 100 * KIB, 1));
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(1, run(1, mend));
	ASSERT_EQ(0, try_mount(&self->v, NULL));
	EXPECT_TRUE(vol_holds("f", 100 * KIB, 1));
	EXPECT_TRUE(vol_holds("g", 100 * KIB, 2));
}

TEST_F(mount_options, check_is_due)
{
	if (!env_is_retryfs())
		SKIP(return, "the messages of retryfs");
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_MOUNTS, 9));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_MAX_MOUNTS, 10));
	ASSERT_EQ(0, try_mount(&self->v, NULL));
	EXPECT_FALSE(kmsg_has(self->kmsg, (const char *[]){ "e2fsck", NULL }));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
		"retryfs", "as often", "e2fsck", NULL }));
	ASSERT_EQ(0, vol_umount(&self->v));
	/* the one who only reads is not asked to check; but when that changes */
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_RDONLY, NULL));
	EXPECT_FALSE(kmsg_has(self->kmsg, (const char *[]){ "e2fsck", NULL }));
	ASSERT_EQ(0, vol_dev_set(&self->v, 16, S_MAX_MOUNTS, 0xffff));
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_CHECKED, 1000));
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_INTERVAL, 3600));
	ASSERT_EQ(0, vol_read_write());
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
		"retryfs", "longer", "e2fsck", NULL }));
}

/* A revision that is yet to come can be read, as what older ones have is where it was. */
TEST_F(mount_options, unknown_revision)
{
	if (!env_is_retryfs())
		SKIP(return, "the messages of retryfs");
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_REVISION, 2));
	ASSERT_EQ(0, try_mount(&self->v, NULL));
	EXPECT_TRUE(kmsg_has(self->kmsg, (const char *[]){
		"retryfs", "revision 2", "read-only", NULL }));
	EXPECT_TRUE(vol_holds("f", 100 * KIB, 1));
	EXPECT_EQ(-EROFS, vol_open("g", O_CREAT | O_RDWR));
	EXPECT_EQ(-EROFS, remount(NULL));
	EXPECT_EQ(-EROFS, vol_open("g", O_CREAT | O_RDWR));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_REVISION, 1));
}

/* With grpid, the setgid bit of a directory asks for nothing, and goes no further. */
TEST_F(mount_options, grpid_in_a_setgid_directory)
{
	struct stat st;

	ASSERT_EQ(0, try_mount(&self->v, "grpid"));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, chown(vol_path("d"), 0, 1234));
	ASSERT_EQ(0, chmod(vol_path("d"), 02755));
	ASSERT_EQ(0, vol_mkdir("d/below"));
	ASSERT_EQ(0, stat(vol_path("d/below"), &st));
	EXPECT_EQ(1234, st.st_gid);
	EXPECT_EQ(0, st.st_mode & S_ISGID);
	ASSERT_EQ(0, remount("nogrpid"));
	ASSERT_EQ(0, vol_mkdir("d/other"));
	ASSERT_EQ(0, stat(vol_path("d/other"), &st));
	EXPECT_EQ(1234, st.st_gid);
	EXPECT_EQ(S_ISGID, st.st_mode & S_ISGID);
}

/* Who looks after machines reads /proc/mounts. */
TEST_F(mount_options, stopped_by_an_error)
{
	const char *const crack[] = { "debugfs", "-w", "-R", "sif f block[IND] 0xffffffff",
				      self->v.dev, NULL };
	const char *const mend[] = { "e2fsck", "-fy", self->v.dev, NULL };
	char *buf = buf_alloc(4096);
	int fd;

	ASSERT_EQ(0, run(0, crack));
	ASSERT_EQ(0, try_mount(&self->v, "errors=remount-ro"));
	EXPECT_FALSE(shown("emergency_ro"));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pread(fd, buf, 4096, 64 * KIB));
	close(fd);
	EXPECT_TRUE(shown("emergency_ro"));
	EXPECT_TRUE(shown("errors=remount-ro"));
	/* what is shown is what mount(8) passes on */
	EXPECT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT | MS_RDONLY, "errors=remount-ro,emergency_ro"));
	EXPECT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT | MS_RDONLY, "shutdown"));
	ASSERT_EQ(0, vol_umount(&self->v));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, "emergency_ro"));
	EXPECT_EQ(-EINVAL, try_mount(&self->v, "shutdown"));
	EXPECT_EQ(1, run(1, mend));
}

TEST_HARNESS_MAIN

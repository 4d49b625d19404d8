// SPDX-License-Identifier: GPL-2.0
/*
 * Directories with a hash index: it is used and kept, and made when a directory grows; by this driver
 * and by ext4 in turn, with e2fsck between. Readers see each name that stays once.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "caches.h"
#include "debugfs.h"
#include "ext2.h"
#include "harness.h"
#include "powerloss.h"
#include "task.h"

VOL_FIXTURE(fs_htree);
FIXTURE_VARIANT_ADD(fs_htree, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_htree, bs4k) { .conf = SMALL_4K };

/* Names so long that a few blocks of 1 KiB hold few, and an index of these has two levels. */
#define LONG		200
#define MAX		1000

static const char *entry(int i)
{
	static char name[LONG + 8];

	/* bytes beyond ASCII, too: their hashes depend on their sign */
	snprintf(name, sizeof(name), "d/%04d\xe4%0*d", i, LONG - 8, i);
	return name;
}

static int make(int from, int to)
{
	int i;

	for (i = from; i < to; i++) {
		if (mknod(vol_path(entry(i)), S_IFREG | 0600, 0))
			return -errno;
	}
	return 0;
}

static int drop(int from, int to, int step)
{
	int i;

	for (i = from; i < to; i += step) {
		if (unlink(vol_path(entry(i))))
			return -errno;
	}
	return 0;
}

static bool is_indexed(const char *name)
{
	int fd = vol_open_dir(name), flags = 0;

	ioctl(fd, FS_IOC_GETFLAGS, &flags);
	close(fd);
	return flags & FS_INDEX_FL;
}

struct reader {
	int fd;
	size_t size;		/* of the buffer */
	int seen[MAX];
	int others;
	off_t last;		/* d_off of the last one */
};

static void reader_open(struct reader *r, size_t size)
{
	memset(r, 0, sizeof(*r));
	r->fd = vol_open_dir("d");
	r->size = size;
}

/* One call of getdents64(2): how many entries, or -errno. */
static int read_some(struct reader *r)
{
	uint64_t room[32 * KIB / 8];
	char *buf = (char *)room;
	long n = syscall(SYS_getdents64, r->fd, buf, r->size), at;
	int count = 0;

	if (n < 0)
		return -errno;
	for (at = 0; at < n; count++) {
		const struct dirent64 *e = (const void *)(buf + at);
		int i;

		if (sscanf(e->d_name, "%4d", &i) == 1 && i < MAX &&
		    !strcmp(entry(i) + 2, e->d_name))
			r->seen[i]++;
		else
			r->others++;
		r->last = e->d_off;
		at += e->d_reclen;
	}
	return count;
}

static int read_rest(struct reader *r)
{
	int n;

	do {
		n = read_some(r);
	} while (n > 0);
	close(r->fd);
	return n;
}

/* That those from @from on, in steps of @step, are there, and no others; by name and in a listing. */
static void check(struct __test_metadata *_metadata, int from, int to, int step)
{
	struct reader r;
	int i;

	reader_open(&r, sizeof(struct dirent64) * 8);
	ASSERT_EQ(0, read_rest(&r));
	EXPECT_EQ(2, r.others);
	for (i = 0; i < MAX; i++) {
		bool there = i >= from && i < to && (i - from) % step == 0;

		ASSERT_EQ(there, r.seen[i]) TH_LOG("listing of %d", i);
		if (i <= to)
			ASSERT_EQ(there, !access(vol_path(entry(i)), F_OK)) TH_LOG("name %d", i);
	}
}

/* Ours is read, changed and kept by ext4, and its changes by us. */
TEST_F(fs_htree, grows)
{
	const int nr = self->v.bs == 1024 ? 700 : 300;
	struct stat st;

	ASSERT_EQ(0, vol_mkdir("d"));
	EXPECT_FALSE(is_indexed("d"));
	ASSERT_EQ(0, make(0, nr));
	EXPECT_TRUE(is_indexed("d"));
	check(_metadata, 0, nr, 1);
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	check(_metadata, 0, nr, 1);
	ASSERT_EQ(0, drop(1, nr, 2));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_TRUE(is_indexed("d"));
	check(_metadata, 0, nr, 2);
	ASSERT_EQ(-EEXIST, make(2, 3));
	ASSERT_EQ(0, drop(0, nr, 2));
	check(_metadata, 0, 0, 1);
	ASSERT_EQ(0, make(nr - 100, nr));
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_TRUE(is_indexed("d"));
	check(_metadata, nr - 100, nr, 1);
	ASSERT_EQ(0, make(0, 100));
	ASSERT_EQ(0, drop(nr - 100, nr, 1));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_TRUE(is_indexed("d"));
	check(_metadata, 0, 100, 1);
	EXPECT_EQ(-1, rmdir(vol_path("d")));
	EXPECT_EQ(ENOTEMPTY, errno);
	ASSERT_EQ(0, drop(0, 100, 1));
	ASSERT_EQ(0, stat(vol_path("d/.."), &st));
	EXPECT_EQ(2, st.st_ino);
	ASSERT_EQ(0, rmdir(vol_path("d")));
}

/* Made by ext4, and changed by us only. */
TEST_F(fs_htree, theirs)
{
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make(0, 300));
	ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
	EXPECT_TRUE(is_indexed("d"));
	check(_metadata, 0, 300, 1);
	ASSERT_EQ(0, make(300, 500));
	EXPECT_TRUE(is_indexed("d"));
	ASSERT_EQ(0, drop(0, 200, 1));
	check(_metadata, 200, 500, 1);
	ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
	EXPECT_TRUE(is_indexed("d"));
	check(_metadata, 200, 500, 1);
}

/* Each function, of names with signed and with unsigned bytes. */
TEST_F(fs_htree, functions)
{
	int code, flags;

	for (code = 0; code < 3; code++) {
		for (flags = 1; flags <= 2; flags++) {
			ASSERT_EQ(0, vol_umount_soon(&self->v));
			ASSERT_EQ(0, debugfs(&self->v, "ssv def_hash_version %d", code));
			ASSERT_EQ(0, debugfs(&self->v, "ssv flags %d", flags));
			ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
			ASSERT_EQ(0, vol_mkdir("d"));
			ASSERT_EQ(0, make(0, 80));
			EXPECT_TRUE(is_indexed("d"));
			ASSERT_EQ(0, vol_switch(&self->v, "ext4"));
			check(_metadata, 0, 80, 1);
			ASSERT_EQ(0, make(80, 120));
			ASSERT_EQ(0, vol_switch(&self->v, env_fstype()));
			EXPECT_TRUE(is_indexed("d"));
			check(_metadata, 0, 120, 1);
			ASSERT_EQ(0, drop(0, 120, 1));
			ASSERT_EQ(0, rmdir(vol_path("d")));
		}
	}
}

/* In the superblock. */
enum { STATE = 1024 + 58, HAS_ERRORS = 2 };

/* The legacy hash of signed bytes, as far as names are sorted by it. */
static uint32_t legacy_hash(const char *name)
{
	uint32_t hash = 0x12a3fe2d, before = 0x37abe8f9;
	const char *c;

	for (c = name; *c; c++) {
		uint32_t next = before + (hash ^ (uint32_t)((signed char)*c * 7152373));

		if (next & 0x80000000)
			next -= 0x7fffffff;
		before = hash;
		hash = next;
	}
	return hash << 1;
}

static uint32_t hash_of(int i)
{
	return legacy_hash(entry(i) + 2);
}

static const char *colliding(const char *end)
{
	static char name[300];

	/* 255 bytes: a block of 1 KiB has room for three */
	memset(name, 'x', 250);
	memcpy(name, "d/", 2);
	snprintf(name + 250, sizeof(name) - 250, "%s", end);
	return name;
}

/* Names of one hash, in several leaves. */
TEST_F(fs_htree, collisions)
{
	static const char *const same[] = { "3771345", "5542832", "5998471", "6660571" };
	char name[300];
	struct reader r;
	int i;

	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ssv def_hash_version legacy"));
	ASSERT_EQ(0, debugfs(&self->v, "ssv flags 1"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	for (i = 0; i < ARRAY_SIZE(same); i++)
		ASSERT_EQ(0, mknod(vol_path(colliding(same[i])), S_IFREG | 0600, 0));
	ASSERT_EQ(0, make(0, 200));
	EXPECT_TRUE(is_indexed("d"));
	/* what is in the cache of names would not be looked for */
	ASSERT_EQ(0, vol_remount(&self->v));
	for (i = 0; i < ARRAY_SIZE(same); i++) {
		EXPECT_EQ(0, access(vol_path(colliding(same[i])), F_OK)) TH_LOG("%s", same[i]);
		EXPECT_EQ(-1, mknod(vol_path(colliding(same[i])), S_IFREG | 0600, 0));
		EXPECT_EQ(EEXIST, errno);
	}
	EXPECT_EQ(-1, access(vol_path(colliding("3771346")), F_OK));
	/* so small a buffer has room for one of them */
	reader_open(&r, 300);
	ASSERT_EQ(0, read_rest(&r));
	EXPECT_EQ(2 + ARRAY_SIZE(same), r.others);
	for (i = 0; i < 200; i++)
		ASSERT_EQ(1, r.seen[i]);
	snprintf(name, sizeof(name), "%s", colliding(same[1]));
	ASSERT_EQ(0, vol_rename(name, "d/else", 0));
	EXPECT_EQ(-1, access(vol_path(name), F_OK));
	for (i = 0; i < ARRAY_SIZE(same); i++) {
		if (i != 1)
			ASSERT_EQ(0, unlink(vol_path(colliding(same[i]))));
	}
	reader_open(&r, 4 * KIB);
	ASSERT_EQ(0, read_rest(&r));
	EXPECT_EQ(3, r.others);
}

#ifdef __x86_64__
/* In a child, which a kernel without them kills. */
static bool runs_32_bits(void)
{
	pid_t child = fork();
	int status;
	long n;

	if (child)
		return waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
	/* getpid */
	asm volatile("int $0x80" : "=a"(n) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	_exit((int)n != getpid());
}

/* How many entries a program of 32 bits reads, whose positions have 31 bits; -errno. @size is that of its buffer. */
static int count32(size_t size)
{
	char *buf = mmap(NULL, 32 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int fd = vol_open_dir("d"), count = 0;
	long n, at;

	if (buf == MAP_FAILED || fd < 0)
		return -EBADF;
	do {
		asm volatile("int $0x80" : "=a"(n)
			     : "a"(220L), "b"((long)fd), "c"((long)buf), "d"((long)size)
			     : "memory", "r8", "r9", "r10", "r11");
		n = (int)n;
		for (at = 0; at < n; count++)
			at += ((const struct dirent64 *)(buf + at))->d_reclen;
	} while (n > 0);
	close(fd);
	munmap(buf, 32 * KIB);
	return n ?: count;
}

/*
 * Names of the hashes 0, 2 and 4, which have one position if that has 31 bits, in several leaves: they are read once, and
 * the index is not taken for a bad one.
 */
TEST_F(fs_htree, first_position_of_31_bits)
{
	static const char *const ends[] = {
		"a49fso\xa1", "ceyy76m", "epvi50o", "e0d3a64", "ip12cof",
		"jwgxeny", "j3o8edy", "k6rp9pc", "a902r54", "bkiq6si",
	};
	int i;

	/* there the kernel would complain of it */
	if (env_on_debug() || !runs_32_bits())
		SKIP(return, "no programs of 32 bits");
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ssv def_hash_version legacy"));
	ASSERT_EQ(0, debugfs(&self->v, "ssv flags 1"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=continue"));
	ASSERT_EQ(0, vol_mkdir("d"));
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		const char *path = colliding(ends[i]);

		ASSERT_EQ(i < 1 ? 0 : i < 8 ? 2 : 4, legacy_hash(path + 2));
		ASSERT_EQ(0, mknod(vol_path(path), S_IFREG | 0600, 0));
	}
	EXPECT_TRUE(is_indexed("d"));
	EXPECT_EQ(2 + i, count32(32 * KIB));
	/* so small a buffer has room for one of them */
	EXPECT_EQ(2 + i, count32(300));
	ASSERT_EQ(0, make(0, 100));
	EXPECT_TRUE(is_indexed("d"));
	EXPECT_EQ(2 + i + 100, count32(32 * KIB));
	EXPECT_EQ(2 + i + 100, count32(300));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_FALSE(vol_dev_get(&self->v, 16, STATE) & HAS_ERRORS);
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}
#endif

/* The name that readdir(3) has last; empty if there is none. */
static void last_of(const char *dir, char *last, size_t size)
{
	DIR *d = opendir(vol_path(dir));
	struct dirent *e;

	*last = 0;
	while (d && (e = readdir(d)))
		snprintf(last, size, "%s/%s", dir, e->d_name);
	if (d)
		closedir(d);
}

/* The leaf with the greatest hashes is split: the name of the greatest one, which was found in it, moves. */
TEST_F(fs_htree, last_leaf_is_split)
{
	const int from = 40, to = self->v.bs == 1024 ? 120 : 200;
	char last[300];
	int i, k, dir;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make(0, from));
	EXPECT_TRUE(is_indexed("d"));
	/* it stays in memory */
	dir = vol_open_dir("d");
	ASSERT_LE(0, dir);
	for (i = from; i < to; i++) {
		last_of("d", last, sizeof(last));
		for (k = 0; k < 3; k++) {
			ASSERT_EQ(0, forget_all());
			ASSERT_EQ(0, access(vol_path(last), F_OK)) TH_LOG("before name %d", i);
		}
		ASSERT_EQ(0, make(i, i + 1));
		ASSERT_EQ(0, forget_all());
		ASSERT_EQ(0, access(vol_path(last), F_OK)) TH_LOG("after name %d", i);
	}
	close(dir);
	check(_metadata, 0, to, 1);
}

/* A block of names is split while they are read, and the directory gets its index. */
TEST_F(fs_htree, split_while_reading)
{
	static const int begin[] = { 2, 60 };
	const size_t few = 300;	/* room for one or two */
	struct reader r, again;
	int k, i, n;

	for (k = 0; k < 2; k++) {
		const int from = begin[k];

		ASSERT_EQ(0, vol_mkdir("d"));
		ASSERT_EQ(0, make(0, from));
		EXPECT_EQ(k > 0, is_indexed("d"));
		reader_open(&r, few);
		n = read_some(&r);
		ASSERT_LT(0, n);
		ASSERT_GT(from + 2, n);
		ASSERT_EQ(0, make(from, from + 200));
		EXPECT_TRUE(is_indexed("d"));
		ASSERT_EQ(0, read_rest(&r));
		EXPECT_EQ(2, r.others);
		for (i = 0; i < from; i++)
			EXPECT_EQ(1, r.seen[i]) TH_LOG("name %d of %d", i, from);
		for (; i < from + 200; i++)
			EXPECT_GE(1, r.seen[i]) TH_LOG("name %d of %d", i, from);

		/* and who seeks to where one was comes to what is behind it */
		reader_open(&r, few);
		ASSERT_LT(0, read_some(&r));
		ASSERT_LT(0, read_some(&r));
		again = r;
		ASSERT_EQ(0, make(from + 200, from + 300));
		again.fd = vol_open_dir("d");
		ASSERT_EQ(again.last, lseek(again.fd, again.last, SEEK_SET));
		ASSERT_EQ(0, read_rest(&again));
		for (i = 0; i < from; i++)
			EXPECT_EQ(1, again.seen[i]) TH_LOG("name %d of %d", i, from);
		close(r.fd);
		ASSERT_EQ(0, drop(0, from + 300, 1));
		ASSERT_EQ(0, rmdir(vol_path("d")));
	}
}

/* What is dirty in the cache of the device, and no more: inodes stay. */
static int write_buffers(struct vol *v)
{
	int fd = open(v->dev, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) ? -errno : 0;

	close(fd);
	return err;
}

/*
 * Names that were synced are split into two blocks. The device gets the block that loses them,
 * or it does not; and has them all.
 */
TEST_F(fs_htree, split_is_half_written)
{
	static const int begin[] = { 2, 60 };
	int k, n;

	for (k = 0; k < 2; k++) {
		const int from = begin[k];

		ASSERT_EQ(0, vol_mkdir("d"));
		ASSERT_EQ(0, make(0, from));
		vol_sync();
		/* until there is another block */
		for (n = from; ; n++) {
			struct stat before, after;

			ASSERT_EQ(0, stat(vol_path("d"), &before));
			ASSERT_EQ(0, make(n, n + 1));
			ASSERT_EQ(0, stat(vol_path("d"), &after));
			if (before.st_size != after.st_size)
				break;
		}
		ASSERT_EQ(0, lose_power(&self->v));
		EXPECT_LE(from + 2, lost_entries("d"));
		/* all buffers of the device, but neither inodes nor what only they lead to */
		ASSERT_EQ(0, write_buffers(&self->v));
		ASSERT_EQ(0, lose_power(&self->v));
		EXPECT_LE(from + 2, lost_entries("d"));
		ASSERT_EQ(0, drop(0, n + 1, 1));
		ASSERT_EQ(0, rmdir(vol_path("d")));
	}
}

static off_t blocks_of_d(struct vol *v)
{
	struct stat st;

	return stat(vol_path("d"), &st) ? -errno : st.st_size / v->bs;
}

/*
 * The power goes when a block of names, or one of the index, has just been split, and nothing was synced since: nobody is asked
 * at boot, and no name is lost that was synced. Some of them are directories.
 */
TEST_F(fs_htree, split_and_boot)
{
	/* an index of so many leaves has two levels: of blocks of 4 KiB there are not so many */
	const off_t pointers = (self->v.bs - 32) / 8, most = self->v.bs > KIB ? 8 : pointers + 6;
	off_t before = 1, now = 1;
	int synced = 0, i;

	ASSERT_EQ(0, vol_mkdir("d"));
	vol_sync();
	for (i = 0; now < most && i < MAX; i++) {
		ASSERT_EQ(0, i % 3 ? make(i, i + 1) : vol_mkdir(entry(i)));
		before = now;
		now = blocks_of_d(&self->v);
		ASSERT_LT(0, now);
		if (now == before)
			continue;
		if (now > 8 && now < pointers - 1) {
			/* nothing is left for writeback, which would come while the disk is copied */
			vol_sync();
			synced = i + 1;
			continue;
		}
		EXPECT_EQ(0, lose_power_at_boot(&self->v)) TH_LOG("%d blocks", (int)now);
		EXPECT_LE(synced + 2, lost_entries("d"));
		vol_sync();
		synced = i + 1;
	}
	EXPECT_LE(most, now);
	EXPECT_TRUE(is_indexed("d"));
}

static long op_make(void *unused)
{
	return make(600, 900);
}

/* Nor does a block lose names while the device has no pointer to the one that gets them. */
TEST_F(fs_htree, split_below_pointers)
{
	const unsigned int per = self->v.bs / 512;
	struct vol_map map = { .nr = 1 };
	uint32_t block, pointers;
	struct task task;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make(0, 600));
	vol_sync();
	ASSERT_EQ(0, ext2_block(&self->v, "d", 12, &block, &pointers));
	map.e[0] = (struct vol_extent){ .sector = pointers * per, .len = per, .writes = true };
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&task, op_make, NULL));
	EXPECT_TRUE(task_settles(&task, TASK_BLOCKED));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/* Create files in "e", as many as there can be, and sync them. */
static int create_all(void)
{
	char name[16];
	int fd, i = 0;

	do {
		snprintf(name, sizeof(name), "e/%d", i++);
		fd = vol_open(name, O_CREAT | O_RDWR);
		if (fd >= 0 && fsync(fd))
			return -errno;
		close(fd);
	} while (fd >= 0);
	return fd == -ENOSPC ? 0 : fd;
}

/* A new volume with so few inodes that a number is soon used again, and @nr names in a directory that has no index yet, all synced. */
static int remake_with_few_inodes(struct vol *v, const struct vol_conf *conf, int nr)
{
	struct vol_conf few = *conf;
	int err;

	few.inodes = 64;
	err = vol_umount_soon(v) ?: vol_mkfs(v, &few) ?: vol_mount(v, env_fstype(), 0, NULL);
	err = err ?: vol_mkdir("d") ?: vol_mkdir("e") ?: make(0, nr);
	if (!err && is_indexed("d"))
		err = -EINVAL;
	vol_sync();
	return err;
}

/*
 * Names move to new blocks, and are removed there. Who gets the numbers of their inodes is not found
 * under them, although nobody syncs the directory.
 */
TEST_F(fs_htree, number_of_a_moved_name)
{
	/* two in a sector */
	const int nr = self->v.bs / 256 - (self->v.bs > 1024);

	ASSERT_EQ(0, remake_with_few_inodes(&self->v, &variant->conf, nr));
	ASSERT_EQ(0, make(nr, nr + 2));
	EXPECT_TRUE(is_indexed("d"));
	ASSERT_EQ(0, drop(0, nr + 2, 1));
	ASSERT_EQ(0, create_all());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_EQ(2, lost_entries("d"));
}

/* Create files in "e" until that fails. */
static int create_until(int i)
{
	char name[16];
	int fd;

	do {
		snprintf(name, sizeof(name), "e/%d", i++);
		fd = vol_open(name, O_CREAT | O_RDWR);
		if (fd >= 0)
			close(fd);
	} while (fd >= 0);
	return fd;
}

/* The block that names have left cannot be written: the device has them there, and nobody gets the numbers of their inodes. */
TEST_F(fs_htree, number_of_a_moved_name_in_a_bad_block)
{
	const int nr = self->v.bs / 256 - (self->v.bs > 1024);
	struct vol_map map;

	if (self->v.bs > KIB)
		SKIP(return, "names that are added wait for the device before the block is split");
	ASSERT_EQ(0, remake_with_few_inodes(&self->v, &variant->conf, nr));
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	map.e[0].fails = true;
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, make(nr, nr + 1));
	EXPECT_TRUE(is_indexed("d"));
	ASSERT_EQ(0, drop(0, nr + 1, 1));
	EXPECT_EQ(-EIO, create_until(0));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(-ENOSPC, create_until(100));
	vol_sync();
}

/* One of the next names that is before, or behind, one that there is; -1 if there is none. */
static int next_name(int *last, int than, bool before)
{
	while (++*last < MAX)
		if ((hash_of(*last) < hash_of(than)) == before)
			return *last;
	return -1;
}

static pid_t renamer;

/* Two names, the old and the new one. */
static long op_rename_in_a_child(void *names)
{
	char (*name)[300] = names;
	int status;

	renamer = fork();
	if (!renamer)
		_exit(vol_rename(name[0], name[1], 0) ? 1 : 0);
	return waitpid(renamer, &status, 0) == renamer && WIFSIGNALED(status) ? WTERMSIG(status) : -EIO;
}

/*
 * A directory gets an index, for a name that moves in it, and who moves it is killed meanwhile: the file has one of the names, as
 * it has one link.
 */
TEST_F(fs_htree, rename_that_is_killed)
{
	struct vol_map map;
	struct task task;
	char name[2][300];
	int nr = 3;

	if (self->v.bs != 1024)
		SKIP(return, "blocks of four names");
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make(0, nr));
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	/* the block is full, and dirty: it is written before it becomes the index */
	ASSERT_EQ(0, make(nr, nr + 1));
	snprintf(name[0], sizeof(name[0]), "%s", entry(nr));
	snprintf(name[1], sizeof(name[1]), "%s", entry(nr + 1));
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&task, op_rename_in_a_child, name));
	ASSERT_BLOCKED(&task);
	ASSERT_EQ(0, kill(renamer, SIGKILL));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	ASSERT_EQ(SIGKILL, task_join(&task, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_TRUE(is_indexed("d"));
	/* as the device has it */
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(1, vol_links(name[0]) + vol_links(name[1]));
	EXPECT_EQ(1, vol_exists(name[0]) + vol_exists(name[1]));
}

/* A name moves within its directory. The new one splits the block of the old one, which moves with that. */
TEST_F(fs_htree, rename_splits_the_block)
{
	int names[3], last = 4, low = 0, high = 0, i;
	char old[300];

	if (self->v.bs != 1024)
		SKIP(return, "blocks of four names");
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ssv def_hash_version legacy"));
	ASSERT_EQ(0, debugfs(&self->v, "ssv flags 1"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	/* the second block gets the two with the least hashes, and two that are before them */
	ASSERT_EQ(0, make(0, 4));
	for (i = 1; i < 4; i++) {
		low = hash_of(i) < hash_of(low) ? i : low;
		high = hash_of(i) > hash_of(high) ? i : high;
	}
	i = next_name(&last, high, false);
	ASSERT_LE(0, i);
	ASSERT_EQ(0, make(i, i + 1));
	EXPECT_TRUE(is_indexed("d"));
	for (i = 0; i < 2; i++) {
		names[i] = next_name(&last, low, true);
		ASSERT_LE(0, names[i]);
		ASSERT_EQ(0, make(names[i], names[i] + 1));
	}
	if (hash_of(names[1]) < hash_of(names[0]))
		names[0] = names[1];
	names[2] = next_name(&last, names[0], true);
	ASSERT_LE(0, names[2]);
	vol_sync();
	snprintf(old, sizeof(old), "%s", entry(low));
	ASSERT_EQ(0, vol_rename(old, entry(names[2]), 0));
	EXPECT_FALSE(vol_exists(old));
	EXPECT_TRUE(vol_exists(entry(names[2])));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists(old) || lost_exists(entry(names[2])));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_FALSE(vol_exists(old));
	EXPECT_TRUE(vol_exists(entry(names[2])));
}

static int mend(struct vol *v)
{
	const char *const argv[] = { "e2fsck", "-fy", v->dev, NULL };

	return run(1, argv);
}

/* Where the root of an index has its numbers. */
enum { ROOT_LIMIT = 32, SECOND_HASH = 40, THIRD_HASH = 48 };

/* "d" has 80 names, and @value in a field of @bits of its root; it is not mounted then. 0 or -errno. */
static int make_bad(struct vol *v, int bits, int field, uint32_t value)
{
	int err = vol_mkdir("d") ?: make(0, 80) ?: vol_umount_soon(v);
	long block;

	if (err)
		return err;
	block = debugfs_block(v, "d", 0);
	return block < 0 ? block : vol_dev_set(v, bits, block * v->bs + field, value);
}

/*
 * An index that breaks the rules is not used any more: names are found without it, and the next change
 * does without it. Who only looks for names does not see that all of them are where they do not belong.
 */
TEST_F(fs_htree, bad_index)
{
	static const struct {
		int bits, field;
		uint32_t value;
		const char *what;
	} bad[] = {
		{ 16, ROOT_LIMIT, 9, "wrong limit" },
		{ 32, SECOND_HASH, 2, "in a leaf for other hashes" },
		{ 32, THIRD_HASH, 3, "index that is not sorted" },
	};
	int k;

	for (k = 0; k < 3; k++) {
		struct reader r;
		int kmsg, i;

		ASSERT_EQ(0, make_bad(&self->v, bad[k].bits, bad[k].field, bad[k].value));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=continue"));
		kmsg = kmsg_open();
		ASSERT_LE(0, kmsg);
		/* Who looks for names sees the others. */
		for (i = 0; k != 1 && i < 80; i++)
			EXPECT_EQ(0, access(vol_path(entry(i)), F_OK)) TH_LOG("%s: %d", bad[k].what, i);
		reader_open(&r, 4 * KIB);
		ASSERT_EQ(0, read_rest(&r));
		for (i = 0; i < 80; i++)
			EXPECT_EQ(1, r.seen[i]) TH_LOG("%s: listing of %d", bad[k].what, i);
		if (env_is_retryfs())
			EXPECT_TRUE(kmsg_has(kmsg, (const char *[]){ "retryfs", "directory",
					     bad[k].what, NULL }));
		for (i = 0; i < 80; i++)
			EXPECT_EQ(0, access(vol_path(entry(i)), F_OK));
		EXPECT_EQ(0, make(80, 100));
		EXPECT_FALSE(is_indexed("d"));
		EXPECT_EQ(0, drop(0, 100, 1));
		EXPECT_EQ(0, rmdir(vol_path("d")));
		close(kmsg);
		if (env_is_retryfs())
			EXPECT_TRUE(vol_dev_get(&self->v, 16, STATE) & HAS_ERRORS);
		ASSERT_EQ(0, vol_umount_soon(&self->v));
		EXPECT_GE(1, mend(&self->v));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
}

/*
 * An index is given up, and names come and go, while somebody reads the directory: each name that stays is read once. The index may be
 * by another function of hashes than the one that the superblock has for new ones, and names are put where its root was.
 */
TEST_F(fs_htree, given_up_while_it_is_read)
{
	static const struct { int bits, field; uint32_t value; } bad[] = {
		{ 16, ROOT_LIMIT, 9 }, { 32, SECOND_HASH, 2 },
	};
	const off_t def_hash_version = 1024 + 0xfc;
	uint32_t hash = vol_dev_get(&self->v, 32, def_hash_version);
	int k, i;

	if (!env_is_retryfs())
		SKIP(return, "others do not go on without the index");
	for (k = 0; k < ARRAY_SIZE(bad); k++) {
		struct reader r;
		int n;

		ASSERT_EQ(0, make_bad(&self->v, bad[k].bits, bad[k].field, bad[k].value));
		/* half_md4 or tea */
		ASSERT_EQ(0, vol_dev_set(&self->v, 32, def_hash_version, hash ^ 3));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=continue"));
		reader_open(&r, 600);
		n = read_some(&r);
		ASSERT_LT(2, n);
		ASSERT_GT(40, n);
		/* all names have been looked for, so that it is given up whatever is bad */
		for (i = 0; i < 80; i++)
			EXPECT_EQ(0, access(vol_path(entry(i)), F_OK));
		for (i = 0; !r.seen[i]; i++)
			;
		ASSERT_EQ(0, drop(i, i + 1, 1));
		ASSERT_EQ(0, make(80, 90));
		EXPECT_FALSE(is_indexed("d"));
		ASSERT_EQ(0, read_rest(&r));
		for (i = 0; i < 80; i++)
			EXPECT_EQ(1, r.seen[i]) TH_LOG("%d: listing of %d", k, i);
		ASSERT_EQ(0, vol_umount_soon(&self->v));
		ASSERT_EQ(0, vol_dev_set(&self->v, 32, def_hash_version, hash));
		EXPECT_GE(1, mend(&self->v));
		ASSERT_EQ(0, vol_mkfs(&self->v, &variant->conf));
		ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	}
}

static void put(char *block, size_t at, uint32_t value, size_t bytes)
{
	memcpy(block + at, &value, bytes);
}

/* A block that begins with an unused entry of @len bytes. */
static char *unused_entry(struct vol *v, size_t len)
{
	char *block = buf_alloc(v->bs);

	memset(block, 0, v->bs);
	put(block, 4, len, 2);
	return block;
}

/*
 * Instead of its index, d gets one of two nodes with a leaf each. That of the second one may have names of a hash of which the
 * leaf before has some: it has @name, which is of that hash, across the end of a sector, and no room for another one so long
 * before it or behind it.
 */
static int lone_name(struct vol *v, const char *name, uint32_t ino)
{
	const size_t few = 256, at = v->bs - 3 * few;
	char *blocks[5] = { NULL };
	long block;
	size_t off;
	int i, err = 0;

	for (i = 1; i < 5; i++)
		blocks[i] = unused_entry(v, i < 4 ? v->bs : few);
	for (i = 1; i < 3; i++) {
		put(blocks[i], 8, (v->bs - 8) / 8, 2);
		put(blocks[i], 10, 1, 2);
		put(blocks[i], 12, 2 + i, 4);
	}
	for (off = few; off < at; off += few)
		put(blocks[4], off + 4, few, 2);
	put(blocks[4], at, ino, 4);
	put(blocks[4], at + 4, 3 * few, 2);
	put(blocks[4], at + 6, strlen(name), 1);
	put(blocks[4], at + 7, 1, 1);
	memcpy(blocks[4] + at + 8, name, strlen(name));
	for (i = 1; !err && i < 5; i++) {
		block = debugfs_block(v, "d", i);
		err = block <= 0 ? -ENOENT : vol_dev_write(v, blocks[i], v->bs, block * v->bs);
	}
	block = debugfs_block(v, "d", 0);
	off = block * v->bs;
	if (!err && block <= 0)
		err = -ENOENT;
	/* the levels, and the pointers */
	return err ?: vol_dev_set(v, 16, off + 30, 1) ?: vol_dev_set(v, 16, off + 34, 2) ?:
	       vol_dev_set(v, 32, off + 36, 1) ?: vol_dev_set(v, 32, off + 40, legacy_hash(name) | 1) ?:
	       vol_dev_set(v, 32, off + 44, 2);
}

/* The leaf with a lone name is split, and that moves: it is found. */
TEST_F(fs_htree, lone_name_moves)
{
	char lone[300], end[16];
	const char *path;
	struct reader r;
	struct stat st;
	int i;

	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "ssv def_hash_version legacy"));
	ASSERT_EQ(0, debugfs(&self->v, "ssv flags 1"));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	snprintf(lone, sizeof(lone), "%s", colliding("3771345"));
	ASSERT_EQ(0, mknod(vol_path(lone), S_IFREG | 0600, 0));
	ASSERT_EQ(0, stat(vol_path(lone), &st));
	ASSERT_EQ(0, make(0, 200));
	EXPECT_TRUE(is_indexed("d"));
	ASSERT_EQ(0, drop(0, 200, 1));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, lone_name(&self->v, lone + 2, st.st_ino));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=continue"));
	EXPECT_EQ(0, access(vol_path(lone), F_OK));
	i = 0;
	do {
		snprintf(end, sizeof(end), "%07d", i++);
		path = colliding(end);
	} while (legacy_hash(path + 2) <= legacy_hash(lone + 2));
	EXPECT_EQ(0, mknod(vol_path(path), S_IFREG | 0600, 0));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=continue"));
	EXPECT_EQ(0, access(vol_path(lone), F_OK));
	EXPECT_EQ(0, access(vol_path(colliding(end)), F_OK));
	reader_open(&r, 4 * KIB);
	ASSERT_EQ(0, read_rest(&r));
	EXPECT_EQ(4, r.others);
	EXPECT_TRUE(is_indexed("d"));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_FALSE(vol_dev_get(&self->v, 16, STATE) & HAS_ERRORS);
	/* the blocks that are in the index no more */
	EXPECT_GE(1, mend(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	EXPECT_EQ(0, access(vol_path(lone), F_OK));
}

/* A directory of one block has the flag, and no index: it gets one when it grows. */
TEST_F(fs_htree, flag_without_an_index)
{
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, make(0, 2));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, debugfs(&self->v, "set_inode_field d flags 0x%x", FS_INDEX_FL));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "errors=continue"));
	EXPECT_EQ(0, access(vol_path(entry(0)), F_OK));
	EXPECT_EQ(0, make(2, 80));
	EXPECT_TRUE(is_indexed("d"));
	check(_metadata, 0, 80, 1);
	EXPECT_EQ(0, drop(0, 80, 1));
	EXPECT_EQ(0, rmdir(vol_path("d")));
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	EXPECT_GE(1, mend(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

TEST_HARNESS_MAIN

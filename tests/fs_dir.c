// SPDX-License-Identifier: GPL-2.0
/* Directories of several blocks: readdir, seeking in them, and reuse of space. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "caches.h"
#include "harness.h"

#define ENTRIES	600

VOL_FIXTURE(fs_dir);
FIXTURE_VARIANT_ADD(fs_dir, bs1k) { .conf = VOL_1K };
FIXTURE_VARIANT_ADD(fs_dir, bs4k) { .conf = VOL_4K };

/* Names of all lengths, so that entries do not divide a block evenly. */
static const char *entry(int i)
{
	static char name[64];

	snprintf(name, sizeof(name), "d/%04d%.*s", i, i % 37,
		 "abcdefghijklmnopqrstuvwxyz0123456789");
	return name;
}

static int make(int from, int to)
{
	int i;

	for (i = from; i < to; i++) {
		int fd = vol_open(entry(i), O_CREAT | O_EXCL | O_RDWR);

		if (fd < 0)
			return fd;
		close(fd);
	}
	return 0;
}

/*
 * Count what readdir gives: seen[i] times of entry i. The number of all other
 * names, or -errno.
 */
static int list(int *seen)
{
	DIR *d = opendir(vol_path("d"));
	struct dirent *e;
	int others = 0;

	memset(seen, 0, ENTRIES * sizeof(*seen));
	if (!d)
		return -errno;
	errno = 0;
	while ((e = readdir(d))) {
		int i;

		if (sscanf(e->d_name, "%4d", &i) == 1 && i < ENTRIES &&
		    !strcmp(entry(i) + 2, e->d_name))
			seen[i]++;
		else
			others++;
	}
	closedir(d);
	return errno ? -errno : others;
}

TEST_F(fs_dir, many)
{
	int seen[ENTRIES];
	struct stat st;
	off_t full;
	int i;

	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, make(0, ENTRIES));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	full = st.st_size;
	EXPECT_LE(4 * self->v.bs, full);
	EXPECT_EQ(2, list(seen));
	for (i = 0; i < ENTRIES; i++)
		ASSERT_EQ(1, seen[i]) TH_LOG("entry %d", i);

	/* every third goes; the others stay, also across a remount */
	for (i = 0; i < ENTRIES; i += 3)
		ASSERT_EQ(0, unlink(vol_path(entry(i))));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(2, list(seen));
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(i % 3 != 0, seen[i]) TH_LOG("entry %d", i);
		ASSERT_EQ(i % 3 != 0, !access(vol_path(entry(i)), F_OK));
	}
	EXPECT_EQ(-1, rmdir(vol_path("d")));
	EXPECT_EQ(ENOTEMPTY, errno);

	/* their room is used again: the directory hardly grows, as names do not lie across sectors */
	for (i = 0; i < ENTRIES; i += 3)
		ASSERT_EQ(0, make(i, i + 1));
	ASSERT_EQ(0, stat(vol_path("d"), &st));
	EXPECT_GE(full + full / 8 + 2 * self->v.bs, st.st_size);
	EXPECT_EQ(2, list(seen));
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(1, seen[i]);
		ASSERT_EQ(0, unlink(vol_path(entry(i))));
	}
	EXPECT_EQ(2, list(seen));
	EXPECT_EQ(0, rmdir(vol_path("d")));
}

TEST_F(fs_dir, seek)
{
	static char names[ENTRIES + 2][64];
	static long pos[ENTRIES + 3];
	struct dirent *e;
	int n = 0;
	DIR *d;
	int i;

	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, make(0, ENTRIES));
	d = opendir(vol_path("d"));
	ASSERT_NE(NULL, d);
	for (;;) {
		pos[n] = telldir(d);
		e = readdir(d);
		if (!e)
			break;
		ASSERT_LT(n, ENTRIES + 2);
		snprintf(names[n++], sizeof(names[0]), "%.63s", e->d_name);
	}
	ASSERT_EQ(ENTRIES + 2, n);
	for (i = n - 1; i >= 0; i -= 7) {
		seekdir(d, pos[i]);
		e = readdir(d);
		ASSERT_NE(NULL, e);
		ASSERT_STREQ(names[i], e->d_name);
	}
	rewinddir(d);
	for (i = 0; readdir(d); i++)
		;
	EXPECT_EQ(n, i);
	seekdir(d, pos[n]);
	EXPECT_EQ(NULL, readdir(d));
	closedir(d);
}

/* A listing that is under way sees each entry that stays exactly once. */
TEST_F(fs_dir, change_while_reading)
{
	int seen[ENTRIES] = {};
	struct dirent *e;
	int n = 0;
	DIR *d;
	int i;

	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, make(0, ENTRIES));
	d = opendir(vol_path("d"));
	ASSERT_NE(NULL, d);
	while ((e = readdir(d))) {
		/* once, in the middle: remove the odd, entries already read too */
		if (++n == 100)
			for (i = 1; i < ENTRIES; i += 2)
				ASSERT_EQ(0, unlink(vol_path(entry(i))));
		if (sscanf(e->d_name, "%4d", &i) == 1 && i < ENTRIES)
			seen[i]++;
	}
	closedir(d);
	for (i = 0; i < ENTRIES; i += 2)
		ASSERT_EQ(1, seen[i]) TH_LOG("entry %d", i);
	for (i = 1; i < ENTRIES; i += 2)
		ASSERT_GE(1, seen[i]) TH_LOG("entry %d", i);
}

static long op_stat(void *name)
{
	struct stat st;

	return stat(vol_path(name), &st) ? -errno : 0;
}

static long op_unlink(void *name)
{
	return unlink(vol_path(name)) ? -errno : 0;
}

/*
 * Without an index, a name is looked for where the last one was found: not all blocks before are read for
 * each.
 */
TEST_F(fs_dir, names_in_order)
{
	struct vol_conf linear = variant->conf;
	struct vol_map map;
	char name[64];
	struct task t;
	int dir;

	linear.features = "^dir_index";
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &linear));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, make(0, ENTRIES));
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	map.e[0].reads = true;
	ASSERT_EQ(0, vol_remount(&self->v));
	dir = vol_open_dir("d");
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, access(vol_path(entry(ENTRIES - 1)), F_OK));
	ASSERT_EQ(0, forget_pages());
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));

	snprintf(name, sizeof(name), "%s", entry(ENTRIES - 2));
	ASSERT_EQ(0, task_start(&t, op_stat, name));
	EXPECT_TRUE(task_settles(&t, TASK_DONE));
	if (task_done(&t)) {
		EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
		ASSERT_EQ(0, task_start(&t, op_unlink, name));
		EXPECT_TRUE(task_settles(&t, TASK_DONE));
	}
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	/* and what is before it is found, too */
	EXPECT_EQ(0, access(vol_path(entry(0)), F_OK));
	EXPECT_EQ(-1, access(vol_path("d/none"), F_OK));
	EXPECT_EQ(ENOENT, errno);
	close(dir);
	ASSERT_EQ(0, vol_unroute(&self->v));
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(vol_path(name), &st) ? -errno : st.st_size;
}

static long op_make(void *i)
{
	return make(*(int *)i, *(int *)i + 1);
}

/* Without an index, room for a name is looked for where there may be some: not in all blocks before. */
TEST_F(fs_dir, room_for_a_name)
{
	struct vol_conf linear = variant->conf;
	int full = ENTRIES - 1;
	struct vol_map map;
	struct task t;
	off_t size;
	int dir, i;

	linear.features = "^dir_index";
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &linear));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, make(0, full));
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	map.e[0].reads = true;
	dir = vol_open_dir("d");
	ASSERT_LE(0, dir);
	/* what is known to be missing is not looked up again */
	EXPECT_EQ(-1, access(vol_path(entry(full)), F_OK));
	ASSERT_EQ(0, forget_pages());
	ASSERT_EQ(0, vol_route(&self->v, &map));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&t, op_make, &full));
	EXPECT_TRUE(task_settles(&t, TASK_DONE));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	ASSERT_EQ(0, vol_unroute(&self->v));

	/* where names have gone there is some: the directory does not grow */
	size = size_of("d");
	for (i = 0; i < ENTRIES; i += 100) {
		ASSERT_EQ(0, unlink(vol_path(entry(i))));
		ASSERT_EQ(0, make(i, i + 1));
		ASSERT_EQ(size, size_of("d")) TH_LOG("entry %d", i);
	}
	for (i = 0; i < ENTRIES; i += 7)
		ASSERT_EQ(0, unlink(vol_path(entry(i))));
	for (i = 0; i < ENTRIES; i += 7)
		ASSERT_EQ(0, make(i, i + 1));
	EXPECT_EQ(size, size_of("d"));
	close(dir);
}

/* An entry is removed by joining it to the one before it, which the new name of a rename may have become. */
TEST_F(fs_dir, new_name_before_the_old_one)
{
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, vol_prefill("d/makes-some-room", 0, self->v.bs, 1));
	ASSERT_EQ(0, vol_prefill("d/old", 0, self->v.bs, 1));
	ASSERT_EQ(0, unlink(vol_path("d/makes-some-room")));
	ASSERT_EQ(0, rename(vol_path("d/old"), vol_path("d/new")));
	ASSERT_EQ(0, vol_remount(&self->v));
	EXPECT_EQ(0, access(vol_path("d/new"), F_OK));
	EXPECT_EQ(-1, access(vol_path("d/old"), F_OK));
	EXPECT_EQ(ENOENT, errno);
	/* and the name that was there before it goes when its inode does */
	EXPECT_EQ(0, unlink(vol_path("d/new")));
	EXPECT_EQ(0, rmdir(vol_path("d")));
}

/* Add names until the directory has another block. */
static long op_grow(void *arg)
{
	off_t size = size_of("d");
	int i, err = 0;

	for (i = 0; !err && i < ENTRIES && size_of("d") == size; i++)
		err = make(i, i + 1);
	return err ?: size_of("d") - size;
}

/* The directory has a block when that is on the device: what is there before is somebody else's. */
TEST_F(fs_dir, block_that_is_being_written)
{
	struct vol_conf linear = variant->conf;
	struct task t;

	linear.features = "^dir_index";
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &linear));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	vol_sync();
	ASSERT_EQ(0, vol_route_writes(&self->v));
	ASSERT_EQ(0, vol_hold_routed(&self->v));
	ASSERT_EQ(0, task_start(&t, op_grow, NULL));
	EXPECT_TRUE(task_settles(&t, TASK_BLOCKED));
	EXPECT_EQ(self->v.bs, size_of("d"));
	ASSERT_EQ(0, vol_release_routed(&self->v));
	EXPECT_EQ(self->v.bs, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ(2 * self->v.bs, size_of("d"));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

TEST_F(fs_dir, types)
{
	struct dirent *e;
	int right = 0;
	DIR *d;

	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, mkdir(vol_path("d/dir"), 0755));
	ASSERT_EQ(0, symlink("x", vol_path("d/lnk")));
	ASSERT_EQ(0, mknod(vol_path("d/fifo"), S_IFIFO | 0600, 0));
	ASSERT_EQ(0, vol_prefill("d/reg", 0, 1, 1));
	d = opendir(vol_path("d"));
	ASSERT_NE(NULL, d);
	while ((e = readdir(d))) {
		struct stat st;

		ASSERT_EQ(0, fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW));
		EXPECT_EQ(IFTODT(st.st_mode), e->d_type) TH_LOG("%s", e->d_name);
		/* ".." of the mount's child is an inode of the same volume */
		EXPECT_EQ(st.st_ino, e->d_ino) TH_LOG("%s", e->d_name);
		right++;
	}
	closedir(d);
	EXPECT_EQ(6, right);
}

TEST_F(fs_dir, deep)
{
	char path[2000] = "p";
	int depth;

	for (depth = 0; depth < 40; depth++) {
		ASSERT_EQ(0, mkdir(vol_path(path), 0755));
		strcat(path, "/p");
	}
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, vol_prefill(path, 0, 512, 1));
	/* and a whole tree moves in one go */
	ASSERT_EQ(0, mkdir(vol_path("q"), 0755));
	ASSERT_EQ(0, rename(vol_path("p"), vol_path("q/p")));
	memmove(path + 2, path, strlen(path) + 1);
	memcpy(path, "q/", 2);
	EXPECT_EQ(0, access(vol_path(path), F_OK));
}

TEST_HARNESS_MAIN

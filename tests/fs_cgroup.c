// SPDX-License-Identifier: GPL-2.0
/*
 * Who wrote to a file is charged for the writing: its cgroup, and not the one of the
 * task that writes it back.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include "harness.h"

#define CGROUPS	"/tmp/retryfs-cgroups"
#define GROUP	CGROUPS "/writer"
#define LEN	(1 * MIB)

FIXTURE(fs_cgroup) {
	struct vol v;
	bool mounted;
};

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
	close(fd);
	return err;
}

FIXTURE_SETUP(fs_cgroup)
{
	ASSERT_EQ(0, vol_up(&self->v, &SMALL_4K));
	mkdir(CGROUPS, 0755);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL))
		SKIP(return, "no cgroup2");
	self->mounted = true;
	if (put(CGROUPS "/cgroup.subtree_control", "+io +memory"))
		SKIP(return, "the controllers are not here");
	ASSERT_TRUE(!mkdir(GROUP, 0755) || errno == EEXIST);
}

FIXTURE_TEARDOWN(fs_cgroup)
{
	EXPECT_EQ(0, vol_down(&self->v));
	if (self->mounted) {
		rmdir(GROUP);
		umount2(CGROUPS, MNT_DETACH);
	}
	rmdir(CGROUPS);
}

/* How many bytes the group has read or written ("wbytes=") by the device of the volume. */
static long long counted(struct vol *v, const char *what)
{
	long long bytes = 0;
	unsigned int major, minor;
	struct stat st;
	char line[256];
	FILE *f;

	if (stat(v->dev, &st))
		return -errno;
	f = fopen(GROUP "/io.stat", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *at = strstr(line, what);

		if (sscanf(line, "%u:%u", &major, &minor) == 2 && at &&
		    major == major(st.st_rdev) && minor == minor(st.st_rdev))
			bytes = atoll(at + strlen(what));
	}
	fclose(f);
	return bytes;
}

static long long written(struct vol *v)
{
	return counted(v, "wbytes=");
}

/* In the group: @write_it. */
static int in_group(int (*write_it)(void))
{
	char pid[16];
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (!child) {
		snprintf(pid, sizeof(pid), "%d", getpid());
		_exit(put(GROUP "/cgroup.procs", pid) || write_it());
	}
	if (waitpid(child, &status, 0) != child)
		return -errno;
	return status;
}

static int buffered(void)
{
	char *buf = buf_alloc(LEN);
	int fd = vol_open("f", O_CREAT | O_RDWR);

	return fd < 0 || pwrite(fd, buf, LEN, 0) != LEN;
}

#define NO_SUCH_WAY	77

static enum way way;

static int direct(void)
{
	int fd = vol_open("d", O_CREAT | O_RDWR | O_DIRECT);
	char *buf = buf_alloc(LEN);

	if (way >= way_setup(buf, LEN))
		return NO_SUCH_WAY;
	return fd < 0 || do_write(way, fd, buf, LEN, 0) != LEN || do_read(way, fd, buf, LEN, 0) != LEN;
}

/* By the page cache, and what a retry has synced. */
static int holes_and_synced(void)
{
	int fd = vol_open("d", O_CREAT | O_RDWR | O_DIRECT);
	char *buf = buf_alloc(LEN);
	struct iovec iov = { buf, LEN };

	return fd < 0 || ftruncate(fd, 2 * LEN) || do_write(ASYNC, fd, buf, LEN, 0) != LEN ||
	       way_rw(ASYNC, true, fd, &iov, 1, 0, RWF_DSYNC) != LEN;
}

TEST_F(fs_cgroup, buffered)
{
	int fd;

	ASSERT_EQ(0, in_group(buffered));
	EXPECT_GT(LEN, written(&self->v));
	/* by us, who are in the root group */
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	EXPECT_LE(LEN, written(&self->v));
}

TEST_F(fs_cgroup, direct)
{
	long long before, reads;
	int status;

	for (way = SYNC; way < WAYS; way++) {
		before = written(&self->v);
		reads = counted(&self->v, "rbytes=");
		status = in_group(direct);
		if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SUCH_WAY)
			break;
		ASSERT_EQ(0, status);
		EXPECT_LE(before + LEN, written(&self->v)) TH_LOG("way %d", way);
		EXPECT_LE(reads + LEN, counted(&self->v, "rbytes=")) TH_LOG("way %d", way);
	}
	EXPECT_LT(ASYNC, way);
}

TEST_F(fs_cgroup, holes_and_synced)
{
	ASSERT_EQ(0, in_group(holes_and_synced));
	EXPECT_LE(2 * LEN, written(&self->v));
}

/*
 * A limit for the group holds for what it has written to the page cache: this many bytes take so long at
 * least, whoever has them written back.
 */
TEST_F(fs_cgroup, limit)
{
	const long long rate = LEN / 2;
	struct timespec from, to;
	char limit[64];
	struct stat st;
	int fd;

	ASSERT_EQ(0, in_group(buffered));
	ASSERT_EQ(0, stat(self->v.dev, &st));
	snprintf(limit, sizeof(limit), "%u:%u wbps=%lld", major(st.st_rdev), minor(st.st_rdev), rate);
	if (put(GROUP "/io.max", limit))
		SKIP(return, "a kernel without CONFIG_BLK_DEV_THROTTLING");
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	clock_gettime(CLOCK_MONOTONIC, &from);
	ASSERT_EQ(0, fsync(fd));
	clock_gettime(CLOCK_MONOTONIC, &to);
	close(fd);
	EXPECT_LE(LEN, written(&self->v));
	/* less the slice of time that it may use up at once */
	EXPECT_LE(1000, (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
}

TEST_HARNESS_MAIN

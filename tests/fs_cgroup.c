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

#include "blocks.h"
#include "disk.h"
#include "harness.h"
#include "put.h"

#define CGROUPS	"/tmp/retryfs-cgroups"
#define GROUP	CGROUPS "/writer"
#define LEN	(1 * MIB)

FIXTURE(fs_cgroup) {
	struct vol v;
	bool mounted;
};

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

/* What @group may read and write by the device of the volume; "max" is no limit. 0 or -errno. */
static int limit(struct vol *v, const char *reads, const char *writes)
{
	struct stat st;
	char text[96];

	if (stat(v->dev, &st))
		return -errno;
	snprintf(text, sizeof(text), "%u:%u rbps=%s wbps=%s", major(st.st_rdev), minor(st.st_rdev),
		 reads, writes);
	return put(GROUP "/io.max", text);
}

/* Of this process. */
static int move_to(const char *group)
{
	char path[64], pid[16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	snprintf(pid, sizeof(pid), "%d", getpid());
	return put(path, pid);
}

FIXTURE_TEARDOWN(fs_cgroup)
{
	if (self->mounted) {
		limit(&self->v, "max", "max");
		move_to(CGROUPS);
	}
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

/* By another process: what waitpid(2) tells, or -errno. */
static int by_another(int (*do_it)(void))
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (!child)
		_exit(do_it());
	if (waitpid(child, &status, 0) != child)
		return -errno;
	return status;
}

static int (*in_group_do)(void);

static int move_and_do(void)
{
	return move_to(GROUP) || in_group_do();
}

/* The same in the group. */
static int in_group(int (*write_it)(void))
{
	in_group_do = write_it;
	return by_another(move_and_do);
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
	struct timespec from, to;
	char rate[16];
	int fd;

	ASSERT_EQ(0, in_group(buffered));
	snprintf(rate, sizeof(rate), "%lu", LEN / 2);
	if (limit(&self->v, "max", rate))
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

/* A direct request for a part of @name, and how many bytes its bios have. */
struct request {
	const char *name;
	bool write;
	size_t len;
	off_t pos;
	long long bytes;
};

#define PIECE	(16 * KIB)

static const struct request requests[] = {
	/* of one bio, and of several */
	{ "f", false, 4 * KIB, 0, 4 * KIB },
	{ "f", true, 4 * KIB, 0, 4 * KIB },
	{ "pieces", false, 8 * PIECE, 0, 8 * PIECE },
	{ "pieces", true, 8 * PIECE, 0, 8 * PIECE },
	/* beyond EOF: what is not written of the new block is zeroed */
	{ "f", true, 512, LEN, 4 * KIB },
	/* beyond it in several blocks, and parts of two */
	{ "f", true, 8 * KIB, LEN + 512, 12 * KIB },
	{}
};

static const struct request *asked;

static int one_request(void)
{
	struct iovec iov = { buf_alloc(asked->len), asked->len };
	int fd = vol_open(asked->name, O_RDWR | O_DIRECT);

	if (way >= way_setup(iov.iov_base, iov.iov_len))
		return NO_SUCH_WAY;
	return fd < 0 || way_rw(way, asked->write, fd, &iov, 1, asked->pos, 0) != asked->len;
}

/* How many bytes the device of the volume has read or written, for whomever. */
static long long transferred(struct vol *v, bool write)
{
	unsigned long long n[7] = {};
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", strrchr(v->dev, '/') + 1);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, "%llu %llu %llu %llu %llu %llu %llu", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5],
		   &n[6]) != 7)
		n[2] = n[6] = 0;
	fclose(f);
	return n[write ? 6 : 2] * 512;
}

static void make_files(struct __test_metadata *_metadata, FIXTURE_DATA(fs_cgroup) * self)
{
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, LEN, 1));
	fd = make_pieces(&self->v, "pieces", PIECE, 8);
	ASSERT_LE(0, fd);
	close(fd);
	/* by which all that is needed to write is in memory */
	for (asked = requests; asked->name; asked++)
		ASSERT_EQ(0, one_request());
}

/* All that a request reads and writes is charged to who made it: not a byte goes by others. */
static void charge_all(struct __test_metadata *_metadata, FIXTURE_DATA(fs_cgroup) * self)
{
	int status;

	way = SYNC;
	make_files(_metadata, self);
	for (asked = requests; asked->name; asked++) {
		const char *what = asked->write ? "wbytes=" : "rbytes=";

		for (way = SYNC; way < WAYS; way++) {
			long long charged, all;

			ASSERT_EQ(0, truncate(vol_path("f"), LEN));
			vol_sync();
			charged = counted(&self->v, what);
			all = transferred(&self->v, asked->write);
			status = in_group(one_request);
			if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SUCH_WAY)
				break;
			ASSERT_EQ(0, status);
			charged = counted(&self->v, what) - charged;
			all = transferred(&self->v, asked->write) - all;
			EXPECT_EQ(asked->bytes, charged)
				TH_LOG("request %zd, way %d", asked - requests, way);
			EXPECT_EQ(all, charged)
				TH_LOG("request %zd, way %d", asked - requests, way);
		}
		EXPECT_LT(ASYNC, way);
	}
}

TEST_F(fs_cgroup, all_bios)
{
	charge_all(_metadata, self);
}

/* Written from copies of the memory. */
TEST_F(fs_cgroup, all_bios_with_copies)
{
	ASSERT_EQ(0, stable_writes(self->v.dev, true));
	charge_all(_metadata, self);
	ASSERT_EQ(0, stable_writes(self->v.dev, false));
}

/* New blocks are linked by a kworker, when they have been written. */
TEST_F(fs_cgroup, all_bios_with_async_alloc)
{
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, "async_alloc"));
	charge_all(_metadata, self);
}

/* Of a file that is not locked, in the root group. */
static int one_read(void)
{
	way = SYNC;
	asked = &requests[2];
	return move_to(CGROUPS) || one_request();
}

/* A limit for the group holds for each direct request, and for nobody else's. */
TEST_F(fs_cgroup, limit_of_direct)
{
	char *buf = buf_alloc(LEN);
	struct way_write io;
	struct task task;

	way = SYNC;
	make_files(_metadata, self);
	ASSERT_EQ(0, move_to(GROUP));
	if (limit(&self->v, "max", "max"))
		SKIP(return, "a kernel without CONFIG_BLK_DEV_THROTTLING");
	for (asked = requests; asked->name; asked++) {
		if (!asked->write)
			continue;
		for (way = SYNC; way < URING; way++) {
			ASSERT_EQ(0, truncate(vol_path("f"), LEN));
			vol_sync();
			io = (struct way_write){ way, vol_open(asked->name, O_RDWR | O_DIRECT),
						 { buf, asked->len }, asked->pos };
			/* a byte in a second */
			ASSERT_EQ(0, limit(&self->v, "1", "1"));
			ASSERT_EQ(0, task_start(&task, op_way_write, &io));
			EXPECT_BLOCKED(&task)
				TH_LOG("request %zd, way %d", asked - requests, way);
			EXPECT_EQ(0, by_another(one_read));
			ASSERT_EQ(0, limit(&self->v, "max", "max"));
			EXPECT_EQ(asked->len, task_join(&task, JOIN_SECONDS));
			close(io.fd);
		}
	}
}

/*
 * With async_alloc, an append that must not wait is kept back for a limit, and has no room in the device when it goes on: its submitter is gone
 * by then. While another one is in flight, the next append begins where it did, if that is where one would have begun.
 */
static void go_on_without_room(struct __test_metadata *_metadata, FIXTURE_DATA(fs_cgroup) * self,
			       unsigned int gap)
{
	const off_t bs = self->v.bs, size = 16 * bs, at = size + (gap ? gap + 1 : 1) * bs;
	char *buf = buf_alloc(size), *back = buf_alloc(4 * bs), rate[16];
	struct iocb cb[3];
	struct io_event ev[2];
	aio_context_t ctx;
	int fd, i;

	if (!env_is_retryfs())
		SKIP(return, "a mount option of retryfs");
	ASSERT_EQ(0, mount(NULL, env_dir(), NULL, MS_REMOUNT, "async_alloc"));
	fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(size, pwrite(fd, buf, size, 0));
	vol_sync();
	pattern_fill(buf, bs, size, 2);
	pattern_fill(buf + bs, bs, size, 3);
	pattern_fill(buf + 2 * bs, bs, at, 2);
	for (i = 0; i < 3; i++) {
		aio_prep_write(&cb[i], fd, buf + i * bs, bs, size + gap * bs);
		cb[i].aio_rw_flags = (i == 1 ? RWF_NOWAIT : 0) | (i == 1 && gap ? 0 : RWF_APPEND);
	}
	ASSERT_EQ(0, aio_setup(3, &ctx));
	snprintf(rate, sizeof(rate), "%lu", (long)bs / 2);
	if (limit(&self->v, "max", rate))
		SKIP(return, "a kernel without CONFIG_BLK_DEV_THROTTLING");
	ASSERT_EQ(0, move_to(GROUP));
	ASSERT_EQ(0, vol_hold(&self->v));
	ASSERT_EQ(0, aio_submit_one(ctx, &cb[0]));
	ASSERT_EQ(0, aio_submit_one(ctx, &cb[1]));
	EXPECT_EQ(0, aio_events(ctx, 0, 1, ev, 0));
	ASSERT_EQ(1, aio_events(ctx, 1, 1, ev, JOIN_SECONDS * 1000));
	EXPECT_EQ((uintptr_t)&cb[1], ev[0].obj);
	EXPECT_EQ(-EAGAIN, ev[0].res);
	ASSERT_EQ(0, limit(&self->v, "max", "max"));
	ASSERT_EQ(0, aio_submit_one(ctx, &cb[2]));
	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(2, aio_events(ctx, 2, 2, ev, JOIN_SECONDS * 1000));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(bs, ev[i].res);
	EXPECT_EQ(at + bs, file_size(fd));
	ASSERT_EQ(bs, pread(fd, back, bs, size));
	EXPECT_PATTERN(back, bs, size, 2);
	ASSERT_EQ(bs, pread(fd, back, bs, at));
	EXPECT_PATTERN(back, bs, at, 2);
	close(fd);
}

TEST_F(fs_cgroup, append_without_room_when_it_goes_on)
{
	go_on_without_room(_metadata, self, 0);
}

/* It is made again where it was, and does not write over who has come there. */
TEST_F(fs_cgroup, gap_without_room_when_it_goes_on)
{
	go_on_without_room(_metadata, self, 4);
}

TEST_HARNESS_MAIN

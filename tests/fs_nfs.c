// SPDX-License-Identifier: GPL-2.0
/*
 * The volume exported by knfsd, with a client of NFSv4.2 on the same machine: what the server has
 * answered is durable, and a client is told of changes. The caches of the server are filled here,
 * by what mountd(8) would answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "env.h"
#include "harness.h"
#include "net.h"
#include "ondisk.h"
#include "powerloss.h"
#include "put.h"

#define NFSD	"/proc/fs/nfsd/"
#define CACHES	"/proc/net/rpc/"
#define CLIENT	"/tmp/nfs"
#define OPTIONS	\
	"vers=4.2,proto=tcp,port=2049,addr=127.0.0.1,clientaddr=127.0.0.1,sec=sys,soft,timeo=600," \
	"acregmin=0,acregmax=0,acdirmin=0,acdirmax=0"
#define LEN	3000
#define LINE	4096

VOL_FIXTURE(fs_nfs);
FIXTURE_VARIANT_ADD(fs_nfs, bs1k) { .conf = SMALL_1K };

/*
 * Export the volume, which is to be what a client finds at the root: synchronously, by its
 * fsid 0, for all, with root as root. Lines for the caches are valid until 2038.
 */
static int serve(void)
{
	const struct step {
		const char *file, *text;
	} steps[] = {
		{ NFSD "versions", "-3 +4 +4.1 +4.2\n" },
		/* the shortest there is: nobody is to come back with locks of before */
		{ NFSD "nfsv4gracetime", "10\n" },
		{ NFSD "portlist", "tcp 2049" },
		{ CACHES "auth.unix.ip/channel", "nfsd 127.0.0.1 2147483647 *\n" },
		{ CACHES "nfsd.fh/channel", "* 1 \\x00000000 2147483647 %s\n" },
		/* flags: fsid, no subtree check, insecure ports */
		{ CACHES "nfsd.export/channel", "* %s 2147483647 9218 65534 65534 0\n" },
		{ NFSD "threads", "2" },
		{ }
	};
	const struct step *step;
	char text[256];
	int err;

	err = loopback_up();
	for (step = steps; !err && step->file; step++) {
		snprintf(text, sizeof(text), step->text, env_dir());
		err = put(step->file, text);
		if (err)
			printf("# %s: %s\n", step->file, strerror(-err));
	}
	return err;
}

static int serve_no_more(void)
{
	char text[32];
	int err;

	err = put(NFSD "threads", "0");
	snprintf(text, sizeof(text), "%lld\n", (long long)time(NULL) + 1);
	if (!err)
		err = put(CACHES "nfsd.export/flush", text);
	return err ? err : put(CACHES "nfsd.fh/flush", text);
}

/* The client asks for attributes each time. 0 or -errno. */
static int client_up(void)
{
	if (mkdir(CLIENT, 0755) && errno != EEXIST)
		return -errno;
	return mount("127.0.0.1:/", CLIENT, "nfs4", 0, OPTIONS) ? -errno : 0;
}

static bool is_possible(void)
{
	struct stat st;

	if (system("modprobe -q nfsd && modprobe -q nfsv4"))
		return false;
	if (stat(NFSD "threads", &st) && mount("nfsd", NFSD, "nfsd", 0, NULL))
		return false;
	return true;
}

#define EXPORTED()							\
	do {								\
		ASSERT_EQ(0, serve());					\
		ASSERT_EQ(0, client_up());				\
	} while (0)

#define EXPORTED_NO_MORE()						\
	do {								\
		EXPECT_EQ(0, umount(CLIENT));				\
		EXPECT_EQ(0, serve_no_more());				\
	} while (0)

/* Its fsync is not what is asked for: the answer of the server is. */
static int make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : close(fd);
}

/* Each is on the disk, under its name, when the client has its answer. */
TEST_F(fs_nfs, what_is_answered_is_durable)
{
	long before;

	if (!is_possible())
		SKIP(return, "a kernel without knfsd");
	EXPORTED();
	ASSERT_EQ(0, vol_mkdir("from"));
	ASSERT_EQ(0, vol_mkdir("from/moves"));
	ASSERT_EQ(0, vol_mkdir("to"));
	ASSERT_EQ(0, vol_prefill("old", 0, LEN, 1));
	vol_sync();

	before = disk_flushes();
	ASSERT_EQ(0, mkdir(CLIENT "/new", 0755));
	EXPECT_LT(before, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("new"));

	before = disk_flushes();
	ASSERT_EQ(0, make(CLIENT "/new/file"));
	EXPECT_LT(before, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("new/file"));

	before = disk_flushes();
	ASSERT_EQ(0, symlink("target", CLIENT "/new/link"));
	EXPECT_LT(before, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("new/link"));

	before = disk_flushes();
	ASSERT_EQ(0, link(CLIENT "/old", CLIENT "/new/name"));
	EXPECT_LT(before, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("new/name", LEN, 1));

	before = disk_flushes();
	ASSERT_EQ(0, rename(CLIENT "/from/moves", CLIENT "/to/moved"));
	EXPECT_LT(before, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("to/moved"));
	EXPECT_FALSE(lost_exists("from/moves"));

	before = disk_flushes();
	ASSERT_EQ(0, unlink(CLIENT "/old"));
	EXPECT_LT(before, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_FALSE(lost_exists("old"));
	EXPECT_TRUE(lost_holds("new/name", LEN, 1));

	/* with what leads to it, which others have made */
	ASSERT_EQ(0, vol_mkdir("above"));
	ASSERT_EQ(0, vol_mkdir("above/dir"));
	ASSERT_EQ(0, make(CLIENT "/above/dir/file"));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("above/dir/file"));

	before = disk_flushes();
	ASSERT_EQ(0, truncate(CLIENT "/new/name", 0));
	EXPECT_LT(before, disk_flushes());
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("new/name", 0, 1));
	EXPORTED_NO_MORE();
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/*
 * A client that has found that there is no such name knows when there is one, though the directory
 * has the same times: the volume has whole seconds.
 */
TEST_F(fs_nfs, changes_of_one_second)
{
	struct stat before, after;
	char name[32], path[64];
	int i;

	if (!is_possible())
		SKIP(return, "a kernel without knfsd");
	/* it is to ask, and not to be told by a delegation that is recalled */
	ASSERT_EQ(0, put("/sys/module/nfsv4/parameters/directory_delegations", "N"));
	EXPORTED();
	ASSERT_EQ(0, vol_mkdir("d"));
	for (i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "d/a%d", i);
		ASSERT_EQ(0, vol_prefill(name, 0, 1, 1));
		ASSERT_EQ(0, stat(vol_path("d"), &before));
		snprintf(name, sizeof(name), "d/b%d", i);
		snprintf(path, sizeof(path), CLIENT "/%s", name);
		EXPECT_EQ(-1, access(path, F_OK));
		ASSERT_EQ(0, vol_prefill(name, 0, 1, 1));
		ASSERT_EQ(0, stat(vol_path("d"), &after));
		EXPECT_EQ(0, access(path, F_OK));
		if (same_time(&before.st_ctim, &after.st_ctim))
			break;
	}
	EXPECT_GT(20, i);
	EXPORTED_NO_MORE();
}

/*
 * The same of what is in a file. It is open for writing, so that the server lets no client go on by
 * itself.
 */
TEST_F(fs_nfs, data_of_one_second)
{
	static const int ways[] = { 0, O_DIRECT };
	struct stat before, after;
	char *buf = buf_alloc(LINE), *back = buf_alloc(LINE);
	int fd, client, way, i;

	if (!is_possible())
		SKIP(return, "a kernel without knfsd");
	EXPORTED();
	for (way = 0; way < 2; way++) {
		fd = vol_open(way ? "direct" : "buffered", O_RDWR | O_CREAT | ways[way]);
		ASSERT_LE(0, fd);
		for (i = 0; i < 20; i++) {
			memset(buf, 'a', LINE);
			ASSERT_EQ(LINE, pwrite(fd, buf, LINE, 0));
			ASSERT_EQ(0, fstat(fd, &before));
			client = open(way ? CLIENT "/direct" : CLIENT "/buffered", O_RDONLY);
			ASSERT_LE(0, client);
			ASSERT_EQ(LINE, pread(client, back, LINE, 0));
			EXPECT_EQ(0, memcmp(back, buf, LINE));
			close(client);
			memset(buf, 'b', LINE);
			ASSERT_EQ(LINE, pwrite(fd, buf, LINE, 0));
			ASSERT_EQ(0, fstat(fd, &after));
			client = open(way ? CLIENT "/direct" : CLIENT "/buffered", O_RDONLY);
			ASSERT_LE(0, client);
			ASSERT_EQ(LINE, pread(client, back, LINE, 0));
			EXPECT_EQ(0, memcmp(back, buf, LINE));
			close(client);
			if (same_time(&before.st_ctim, &after.st_ctim))
				break;
		}
		EXPECT_GT(20, i);
		close(fd);
	}
	EXPORTED_NO_MORE();
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * What is reported when the device fails or the volume is corrupt: to who watches the
 * filesystem by fanotify (FAN_FS_ERROR), each time, with the error and the inode;
 * and the log, when the caller of a request is told of a part alone.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "blocks.h"
#include "handle.h"
#include "harness.h"
#include "put.h"
#include "shutdown.h"

/* Later than some C libraries. */
#define FS_ERROR		0x00008000
#define INFO_TYPE_FID		1
#define INFO_TYPE_ERROR		5

struct info_error {
	struct fanotify_event_info_header hdr;
	int32_t error;
	uint32_t count;
};

VOL_FIXTURE(fs_told);
FIXTURE_VARIANT_ADD(fs_told, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_told, bs4k) { .conf = SMALL_4K };

/* What there is to read of all errors since the last time. */
struct told {
	int error;		/* the first one */
	unsigned int count;
	uint32_t ino;		/* 0: no inode is named */
};

static int watch(void)
{
	int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK | FAN_CLOEXEC,
			       O_RDONLY);

	if (fd < 0)
		return -errno;
	if (fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FS_ERROR, AT_FDCWD, env_dir()))
		return -errno;
	return fd;
}

static uint32_t ino_in(const struct fanotify_event_info_fid *fid)
{
	const struct handle *h = (const void *)fid->handle;

	return h->type == HANDLE_INO32_GEN && h->bytes >= 8 ? h->word[0] : 0;
}

/* Wait for an event, and take it apart. */
static struct told next(int fan)
{
	struct pollfd p = { .fd = fan, .events = POLLIN };
	struct told told = {};
	uint64_t room[128];
	char *buf = (char *)room;
	const struct fanotify_event_metadata *ev = (void *)buf;
	size_t at, len;

	if (poll(&p, 1, JOIN_SECONDS * 1000) != 1 || read(fan, buf, sizeof(room)) < 0)
		return (struct told){ .error = -errno };
	if (ev->mask != FS_ERROR)
		return (struct told){ .error = -EPROTO };
	for (at = ev->metadata_len; at < ev->event_len; at += len) {
		const struct fanotify_event_info_header *h = (void *)(buf + at);

		len = h->len;
		if (h->info_type == INFO_TYPE_FID)
			told.ino = ino_in((const void *)h);
		if (h->info_type == INFO_TYPE_ERROR) {
			told.error = ((const struct info_error *)h)->error;
			told.count = ((const struct info_error *)h)->count;
		}
		if (!len)
			break;
	}
	return told;
}

static bool quiet(int fan)
{
	struct pollfd p = { .fd = fan, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

/* One error, and no other. */
#define EXPECT_TOLD(fan, err, inode) do { \
	struct told t_ = next(fan); \
	EXPECT_EQ(err, t_.error); \
	EXPECT_EQ(1, t_.count); \
	EXPECT_EQ(inode, t_.ino); \
} while (0)

/* How often the kernel may say something by printk_ratelimit(): as often as it likes. */
static int unlimited(void)
{
	return put("/proc/sys/kernel/printk_ratelimit", "0");
}

static bool is_logged(int log, const char *what, uint32_t ino, size_t pos)
{
	char who[32], at[32];
	const char *const words[] = { "retryfs", "dm-", who, what, at, "error -5", NULL };

	snprintf(who, sizeof(who), "inode %u:", ino);
	snprintf(at, sizeof(at), "at byte %zu:", pos);
	return kmsg_has(log, words);
}

/* Requests that fail as a whole: the caller gets the error too, and nothing is logged. */
TEST_F(fs_told, all_of_a_request)
{
	static const char *const short_words[] = { "cut short", NULL };
	const off_t bs = self->v.bs, len = 8 * bs;
	char *mem = buf_alloc(2 * len), *buf = mem, *back = mem + len;
	int fd, fan, log, nr = way_setup(mem, 2 * len);
	struct vol_map map;
	struct stat st;
	enum way way;

	ASSERT_LT(0, nr);
	ASSERT_EQ(0, unlimited());
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	ASSERT_EQ(0, vol_find(&self->v, 0, len, 1, &map));
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	fan = watch();
	ASSERT_LE(0, fan);
	log = kmsg_open();
	ASSERT_LE(0, log);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	for (way = SYNC; way < nr; way++) {
		EXPECT_EQ(-EIO, do_write(way, fd, buf, len, 0));
		EXPECT_TOLD(fan, EIO, st.st_ino);
		EXPECT_EQ(-EIO, do_read(way, fd, back, len, 0));
		EXPECT_TOLD(fan, EIO, st.st_ino);
	}
	EXPECT_EQ(-EIO, do_write(SYNC, fd, buf, len, 0));
	EXPECT_TOLD(fan, EIO, st.st_ino);
	ASSERT_EQ(0, vol_unroute(&self->v));
	/* errors that the caller has caused are not reported */
	EXPECT_EQ(-EFAULT, do_write(SYNC, fd, NULL, len, 0));
	EXPECT_EQ(-EFAULT, do_read(ASYNC, fd, NULL, len, 0));
	EXPECT_EQ(-EINVAL, do_write(SYNC, fd, buf + 1, len, 0));
	EXPECT_EQ(len, do_write(SYNC, fd, buf, len, 0));
	EXPECT_TRUE(quiet(fan) || !env_is_retryfs());
	EXPECT_FALSE(kmsg_has(log, short_words));
}

/* Requests that are cut short by the device: this is all that is heard of it. */
TEST_F(fs_told, part_of_a_request)
{
	enum { PIECES = 8, BAD = 5 };
	const size_t piece = 4 * self->v.bs, len = PIECES * piece, ok = BAD * piece;
	char *mem = buf_alloc(2 * len), *buf = mem, *back = mem + len;
	int fd, fan, log, nr = way_setup(mem, 2 * len);
	struct vol_map map;
	struct stat st;
	enum way way;

	if (!env_is_retryfs())
		SKIP(return, "requests that are cut short");
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, unlimited());
	fd = make_pieces(&self->v, "f", piece, PIECES);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, vol_find(&self->v, ok, piece, 1, &map));
	fan = watch();
	ASSERT_LE(0, fan);
	log = kmsg_open();
	ASSERT_LE(0, log);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	pattern_fill(buf, len, 0, 2);
	/* io_uring may go on with the rest, and get the error then */
	for (way = SYNC; way <= ASYNC; way++) {
		EXPECT_EQ(ok, do_write(way, fd, buf, len, 0));
		EXPECT_TOLD(fan, EIO, st.st_ino);
		EXPECT_TRUE(is_logged(log, "direct write cut short", st.st_ino, ok));
		EXPECT_EQ(ok, do_read(way, fd, back, len, 0));
		EXPECT_TOLD(fan, EIO, st.st_ino);
		EXPECT_TRUE(is_logged(log, "direct read cut short", st.st_ino, ok));
	}
	EXPECT_TRUE(quiet(fan));
	ASSERT_EQ(0, vol_unroute(&self->v));
}

/*
 * A write into a hole and over what follows it, which the page cache takes in two
 * parts. The device refuses the second.
 */
TEST_F(fs_told, part_of_a_fallback)
{
	const size_t page = 4096, len = 3 * page;
	char *buf = buf_alloc(len);
	struct vol_map map;
	struct stat st;
	int fd, fan, log;
	enum way way;

	if (!env_is_retryfs())
		SKIP(return, "requests that are cut short");
	ASSERT_EQ(0, unlimited());
	for (way = SYNC; way <= ASYNC; way++) {
		fd = vol_open("f", O_CREAT | O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd);
		pattern_fill(buf, len, 0, 1 + way);
		ASSERT_EQ(2 * page, pwrite(fd, buf + page, 2 * page, page));
		vol_sync();
		ASSERT_EQ(0, fstat(fd, &st));
		ASSERT_EQ(0, vol_find(&self->v, page, 2 * page, 1 + way, &map));
		fan = watch();
		ASSERT_LE(0, fan);
		log = kmsg_open();
		ASSERT_LE(0, log);
		ASSERT_EQ(0, vol_fail(&self->v, &map));
		pattern_fill(buf, len, 0, 10);
		EXPECT_EQ(page, do_write(way, fd, buf, len, 0));
		EXPECT_TOLD(fan, EIO, st.st_ino);
		EXPECT_TRUE(is_logged(log, "direct write cut short", st.st_ino, page));
		EXPECT_TRUE(quiet(fan));
		ASSERT_EQ(0, vol_unroute(&self->v));
		close(fan);
		close(log);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/* Change a field of an inode that is not in use. */
static int set_field(struct vol *v, uint32_t ino, const char *what)
{
	char cmd[64];
	const char *const argv[] = { "debugfs", "-w", "-R", cmd, v->dev, NULL };
	int err;

	snprintf(cmd, sizeof(cmd), "set_inode_field <%u> %s", ino, what);
	err = vol_umount_soon(v);
	if (!err)
		err = run(0, argv);
	return err ? err : vol_mount(v, env_fstype(), 0, "errors=continue");
}

/* Metadata that is corrupt: that of an inode in memory, and that of one that cannot be read. */
TEST_F(fs_told, corruption)
{
	const off_t bs = self->v.bs, len = 20 * bs;
	char *back = buf_alloc(len);
	struct stat st;
	int fd, fan;

	if (!env_is_retryfs())
		SKIP(return, "pointers to the superblock are refused");
	ASSERT_EQ(0, vol_prefill("f", 0, len, 1));
	ASSERT_EQ(0, stat(vol_path("f"), &st));
	/* the pointers of block 12 and what follows are in the superblock */
	ASSERT_EQ(0, set_field(&self->v, st.st_ino, "block[IND] 1"));
	fan = watch();
	ASSERT_LE(0, fan);
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EUCLEAN, do_read(SYNC, fd, back, bs, 12 * bs));
	EXPECT_TOLD(fan, EUCLEAN, st.st_ino);
	EXPECT_EQ(-EUCLEAN, do_write(ASYNC, fd, back, bs, 12 * bs));
	EXPECT_TOLD(fan, EUCLEAN, st.st_ino);
	EXPECT_TRUE(quiet(fan));
	close(fd);
	close(fan);

	ASSERT_EQ(0, set_field(&self->v, st.st_ino, "mode 0170000"));
	fan = watch();
	ASSERT_LE(0, fan);
	EXPECT_EQ(-EUCLEAN, vol_open("f", O_RDONLY));
	EXPECT_TOLD(fan, EUCLEAN, 0);
	EXPECT_TRUE(quiet(fan));
	close(fan);
	/* the name of an inode that is deleted is a fault of its directory */
	ASSERT_EQ(0, set_field(&self->v, st.st_ino, "links_count 0"));
	ASSERT_EQ(0, set_field(&self->v, st.st_ino, "mode 0"));
	fan = watch();
	ASSERT_LE(0, fan);
	EXPECT_EQ(-EUCLEAN, vol_open("f", O_RDONLY));
	EXPECT_TOLD(fan, EUCLEAN, 2);
	EXPECT_TRUE(quiet(fan));
	close(fan);
	/* it is not to be clean afterwards */
	ASSERT_EQ(0, vol_umount_soon(&self->v));
	ASSERT_EQ(0, vol_mkfs(&self->v, &variant->conf));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

/* That it is shut down, once. */
TEST_F(fs_told, shutdown)
{
	unsigned int flags = FS_SHUTDOWN_FLAGS_DEFAULT;
	int fan = watch(), dir = vol_open_dir(".");

	ASSERT_LE(0, fan);
	ASSERT_EQ(0, ioctl(dir, FS_IOC_SHUTDOWN, &flags));
	EXPECT_TOLD(fan, ESHUTDOWN, 0);
	ASSERT_EQ(0, ioctl(dir, FS_IOC_SHUTDOWN, &flags));
	EXPECT_TRUE(quiet(fan));
	close(dir);
	close(fan);
}

TEST_HARNESS_MAIN

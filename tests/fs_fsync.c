// SPDX-License-Identifier: GPL-2.0
/*
 * What fsync(2) and its relatives promise about names: after a loss of power, and
 * e2fsck, what was synced is found under its name, with its data.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "caches.h"
#include "harness.h"
#include "powerloss.h"
#include "stop.h"
#include "trace.h"

VOL_FIXTURE(fs_fsync);
FIXTURE_VARIANT_ADD(fs_fsync, bs1k) { .conf = SMALL_1K };

#define LEN	3000

/* A file of generation @gen that is open; it is synced, with all names. */
static int make_synced(const char *name, uint64_t gen)
{
	int fd = vol_make(name, LEN, gen);

	vol_sync();
	return fd;
}

TEST_F(fs_fsync, create)
{
	int fd = vol_make("f", LEN, 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", LEN, 1));
}

TEST_F(fs_fsync, fdatasync_is_enough)
{
	int fd = vol_make("f", LEN, 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fdatasync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", LEN, 1));
}

/* The directories above are new, too. */
TEST_F(fs_fsync, new_directories)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("a/b"));
	ASSERT_EQ(0, vol_mkdir("a/b/c"));
	fd = vol_make("a/b/c/f", LEN, 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("a/b/c/f", LEN, 1));
}

/*
 * A directory that is new itself, with what cannot be synced by a descriptor of its
 * own: so many that their inodes do not lie in the block that has its own.
 */
TEST_F(fs_fsync, directory)
{
	char name[32];
	int fd, i;

	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("a/b"));
	for (i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "a/b/fifo%d", i);
		ASSERT_EQ(0, mknod(vol_path(name), S_IFIFO | 0600, 0));
	}
	ASSERT_EQ(0, symlink("target", vol_path("a/b/link")));
	ASSERT_EQ(0, vol_mkdir("a/b/c"));
	fd = vol_open_dir("a/b");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists(name));
	EXPECT_TRUE(lost_exists("a/b/link"));
	EXPECT_TRUE(lost_exists("a/b/c"));
	EXPECT_EQ(lost_inode("a/b"), lost_inode("a/b/c/.."));
}

/* The directory has grown, by more blocks than its inode points to itself. */
TEST_F(fs_fsync, directory_that_has_grown)
{
	char name[256];
	int fd = -1, i;

	ASSERT_EQ(0, vol_mkdir("d"));
	vol_sync();
	for (i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "d/%0200d", i);
		fd = vol_make(name, LEN, i);
		ASSERT_LE(0, fd);
		if (i < 49)
			close(fd);
	}
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds(name, LEN, 49));
}

TEST_F(fs_fsync, hard_link)
{
	int fd = make_synced("f", 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_link("f", "d/g"));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("f", LEN, 1));
	EXPECT_TRUE(lost_holds("d/g", LEN, 1));
}

/* All names that were made since, in however many directories. */
TEST_F(fs_fsync, many_hard_links)
{
	int fd = make_synced("f", 1), i;
	char dir[8], name[16];

	ASSERT_LE(0, fd);
	for (i = 0; i < 9; i++) {
		snprintf(dir, sizeof(dir), "d%d", i);
		snprintf(name, sizeof(name), "d%d/g", i);
		ASSERT_EQ(0, vol_mkdir(dir));
		ASSERT_EQ(0, vol_link("f", name));
	}
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	for (i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "d%d/g", i);
		EXPECT_TRUE(lost_holds(name, LEN, 1));
	}
}

/* The file is found by another name than that which it is open by. */
TEST_F(fs_fsync, name_that_stays)
{
	int fd = make_synced("f", 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_link("f", "d/g"));
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/g", LEN, 1));
	EXPECT_FALSE(lost_exists("f"));
}

TEST_F(fs_fsync, rename_in_a_directory)
{
	int fd = make_synced("f", 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_rename("f", "g", 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("g", LEN, 1));
	EXPECT_FALSE(lost_exists("f"));
}

TEST_F(fs_fsync, rename_between_directories)
{
	int fd = make_synced("f", 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("d/e"));
	ASSERT_EQ(0, vol_rename("f", "d/e/f", 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/e/f", LEN, 1));
	EXPECT_FALSE(lost_exists("f"));
}

TEST_F(fs_fsync, rename_of_a_directory)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("d"));
	fd = make_synced("d/f", 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_mkdir("e"));
	ASSERT_EQ(0, vol_rename("d", "e/g", 0));
	close(fd);
	fd = vol_open_dir("e/g");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("e/g/f", LEN, 1));
	EXPECT_FALSE(lost_exists("d"));
	EXPECT_EQ(lost_inode("e"), lost_inode("e/g/.."));
}

/* The directory of the file has moved since the file was made. */
TEST_F(fs_fsync, parent_that_was_renamed)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("p"));
	fd = vol_make("p/f", LEN, 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_mkdir("q"));
	ASSERT_EQ(0, vol_mkdir("q/r"));
	ASSERT_EQ(0, vol_rename("p", "q/r/p", 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("q/r/p/f", LEN, 1));
}

/* One further above, in whose directories nothing has changed since they were synced. */
TEST_F(fs_fsync, directory_above_that_was_renamed)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("p"));
	ASSERT_EQ(0, vol_mkdir("p/d"));
	fd = vol_make("p/d/f", LEN, 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, vol_rename("p", "q", 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("q/d/f", LEN, 1));
}

/* Directories that were in each other, first this way and then that. */
TEST_F(fs_fsync, directories_in_a_circle)
{
	int fd;

	ASSERT_EQ(0, vol_mkdir("p"));
	ASSERT_EQ(0, vol_mkdir("p/q"));
	fd = vol_make("p/q/f", LEN, 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vol_rename("p/q", "q", 0));
	ASSERT_EQ(0, vol_rename("p", "q/p", 0));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	fd = vol_open_dir("q/p");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("q/f", LEN, 1));
	EXPECT_TRUE(lost_exists("q/p"));
}

TEST_F(fs_fsync, file_that_had_no_name)
{
	char *buf = buf_alloc(LEN), name[64];
	int fd;

	ASSERT_EQ(0, vol_mkdir("d"));
	fd = open(env_dir(), O_TMPFILE | O_RDWR, 0600);
	ASSERT_LE(0, fd);
	pattern_fill(buf, LEN, 0, 1);
	ASSERT_EQ(LEN, pwrite(fd, buf, LEN, 0));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ASSERT_EQ(0, linkat(AT_FDCWD, name, AT_FDCWD, vol_path("d/t"), AT_SYMLINK_FOLLOW));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/t", LEN, 1));
}

/* Writes that are synced by themselves: buffered, and direct by all ways. */
TEST_F(fs_fsync, synchronous_writes)
{
	static const struct { int flags, rwf; } kinds[] = {
		{ O_SYNC, 0 }, { O_DSYNC, 0 }, { 0, RWF_DSYNC }, { 0, RWF_SYNC },
	};
	const size_t len = 4096;
	char *buf = buf_alloc(2 * len), name[32];
	int nr = way_setup(buf, 2 * len), direct, fd;
	enum way how;
	size_t k;

	ASSERT_LT(0, nr);
	pattern_fill(buf, len, 0, 1);
	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		for (direct = 0; direct < 2; direct++)
			for (how = SYNC; how < (direct ? nr : 1); how++) {
				snprintf(name, sizeof(name), "d%zu%d%d", k, direct, how);
				ASSERT_EQ(0, vol_mkdir(name));
				strcat(name, "/f");
				fd = vol_open(name, O_CREAT | O_RDWR | kinds[k].flags |
					      (direct ? O_DIRECT : 0));
				ASSERT_LE(0, fd);
				ASSERT_EQ(len, way_rw(how, true, fd, &(struct iovec){ buf, len }, 1,
						      0, kinds[k].rwf));
				close(fd);
			}
	ASSERT_EQ(0, lose_power(&self->v));
	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		for (direct = 0; direct < 2; direct++)
			for (how = SYNC; how < (direct ? nr : 1); how++) {
				snprintf(name, sizeof(name), "d%zu%d%d/f", k, direct, how);
				EXPECT_TRUE(lost_holds(name, len, 1));
			}
}

/* An overwrite that is left to the retry, which syncs it. */
TEST_F(fs_fsync, overwrite_synced_by_the_retry)
{
	const size_t len = 4096;
	char *buf = buf_alloc(len);
	struct iovec iov = { buf, len };
	int fd;

	ASSERT_LT(0, way_setup(buf, len));
	ASSERT_EQ(0, vol_mkdir("d"));
	fd = vol_open("d/f", O_CREAT | O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	pattern_fill(buf, len, 0, 1);
	ASSERT_EQ(len, way_rw(SYNC, true, fd, &iov, 1, 0, 0));
	pattern_fill(buf, len, 0, 2);
	ASSERT_EQ(len, way_rw(ASYNC, true, fd, &iov, 1, 0, RWF_DSYNC));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/f", len, 2));
}

/* With dirsync, and for one such directory, at once; what leads there, too. */
TEST_F(fs_fsync, dirsync)
{
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_DIRSYNC, NULL));
	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("b"));
	ASSERT_EQ(0, vol_mkdir("a/d"));
	ASSERT_EQ(0, lose_power_unrepaired(&self->v));
	EXPECT_EQ(vol_inode("a"), lost_inode("a/d/.."));
	ASSERT_EQ(0, vol_rename("a/d", "b/d", 0));
	ASSERT_EQ(0, lose_power_unrepaired(&self->v));
	EXPECT_FALSE(lost_exists("a/d"));
	EXPECT_EQ(vol_inode("b"), lost_inode("b/d/.."));
}

#define DIRSYNC_FL	"0x00010000"

TEST_F(fs_fsync, directory_with_dirsync)
{
	const char *const argv[] = {
		"debugfs", "-w", "-R", "set_inode_field d flags " DIRSYNC_FL, self->v.dev, NULL
	};
	int fd;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, run(0, argv));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	ASSERT_EQ(0, vol_mkdir("n"));
	ASSERT_EQ(0, vol_rename("d", "n/d", 0));
	fd = vol_open("n/d/f", O_CREAT | O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("n/d/f"));
}

TEST_F(fs_fsync, synchronous_mount)
{
	int fd;

	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_SYNCHRONOUS, NULL));
	ASSERT_EQ(0, vol_mkdir("d"));
	fd = vol_make("d/f", LEN, 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/f", LEN, 1));
}

/*
 * So is a truncate: that the file has another size, and that the rest of the block with the old EOF, which was cut off, is zeroes
 * when the file grows again.
 */
TEST_F(fs_fsync, synchronous_truncate)
{
	const off_t sizes[] = { 700, LEN };
	char *back = buf_alloc(LEN);
	long flushed;
	int fd, i;

	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), MS_SYNCHRONOUS, NULL));
	fd = vol_make("f", LEN, 1);
	ASSERT_LE(0, fd);
	for (i = 0; i < 2; i++) {
		flushed = disk_flushes();
		ASSERT_EQ(0, ftruncate(fd, sizes[i]));
		EXPECT_LT(flushed, disk_flushes()) TH_LOG("to %ld", sizes[i]);
	}
	ASSERT_EQ(0, lose_power(&self->v));
	ASSERT_EQ(LEN, lost_read("f", back, LEN));
	EXPECT_PATTERN(back, sizes[0], 0, 1);
	EXPECT_ZERO(back + sizes[0], LEN - sizes[0], sizes[0]);
}

/* How much was written to the disk, in sectors, and read. */
static int transfers(long *read, long *written)
{
	const char *dev = strrchr(env_dev(), '/') + 1;
	char path[64];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", dev);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "%*d %*d %ld %*d %*d %*d %ld", read, written);
	fclose(f);
	return n == 2 ? 0 : -EIO;
}

/* What is on the device is not written again. */
TEST_F(fs_fsync, once)
{
	long read[2], written[2];
	int fd, i;

	ASSERT_EQ(0, vol_mkdir("a"));
	ASSERT_EQ(0, vol_mkdir("a/b"));
	fd = vol_make("a/b/f", LEN, 1);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fsync(fd));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, transfers(&read[0], &written[0]));
		ASSERT_EQ(0, fsync(fd));
		ASSERT_EQ(0, transfers(&read[1], &written[1]));
		EXPECT_EQ(read[0], read[1]);
		EXPECT_EQ(written[0], written[1]);
		/* nor when it was read again */
		close(fd);
		ASSERT_EQ(0, vol_remount(&self->v));
		fd = vol_open("a/b/f", O_RDWR);
		ASSERT_LE(0, fd);
	}
}

/* A directory that was made and removed again is not waited for: it does not bring what is new elsewhere to the device. */
TEST_F(fs_fsync, directory_that_was_removed_soon)
{
	long read[2], written[2];
	int d;

	ASSERT_EQ(0, vol_mkdir("d"));
	vol_sync();
	d = vol_open_dir("d");
	ASSERT_LE(0, d);
	ASSERT_EQ(0, vol_mkdir("d/gone"));
	ASSERT_EQ(0, rmdir(vol_path("d/gone")));
	ASSERT_EQ(0, fsync(d));
	close(vol_open("new", O_CREAT | O_RDWR));
	ASSERT_EQ(0, transfers(&read[0], &written[0]));
	ASSERT_EQ(0, fsync(d));
	ASSERT_EQ(0, transfers(&read[1], &written[1]));
	EXPECT_EQ(written[0], written[1]);
	close(d);
}

/* What came to the device with its name is known to be there, also when it has left memory: fsync(2) of it does not write all others. */
TEST_F(fs_fsync, file_that_has_left_after_dirsync)
{
	long read[2], written[2];
	int fd, flags = FS_DIRSYNC_FL;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_mkdir("e"));
	fd = vol_open_dir("d");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
	close(vol_open("x", O_CREAT | O_RDWR));
	vol_sync();
	close(vol_open("d/f", O_CREAT | O_RDWR));
	ASSERT_EQ(0, mark_cached("d/f"));
	ASSERT_EQ(0, vol_link("x", "e/y"));
	ASSERT_EQ(0, wait_until_left("d/f"));
	fd = vol_open("d/f", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, transfers(&read[0], &written[0]));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, transfers(&read[1], &written[1]));
	EXPECT_EQ(written[0], written[1]);
	close(fd);
}

struct stopped_mkdir {
	struct stop stop;
	const char *name;
};

static long mkdir_and_stop(void *arg)
{
	struct stopped_mkdir *m = arg;
	int err = stop_me_at(&m->stop, "kprobes/rfs_made");

	return err ? err : vol_mkdir(m->name);
}

/*
 * A directory is synced while one is being made in it, which has its name, and is not complete: its inode is not stored then. It is
 * when that is synced again.
 */
TEST_F(fs_fsync, directory_that_is_being_made)
{
	struct stopped_mkdir m = { .name = "d/new" };
	struct task making;
	int d;

	if (!env_is_retryfs())
		SKIP(return, "others may wait for it");
	trace_write("kprobe_events", "-:rfs_made\n");
	if (trace_write("kprobe_events", "p:rfs_made d_instantiate_new\n"))
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, vol_mkdir("d"));
	vol_sync();
	d = vol_open_dir("d");
	ASSERT_LE(0, d);
	ASSERT_EQ(0, stop_stay_away(&m.stop));
	ASSERT_EQ(0, task_start(&making, mkdir_and_stop, &m));
	ASSERT_TRUE(stop_wait(&m.stop, JOIN_SECONDS));
	EXPECT_EQ(0, fsync(d));
	ASSERT_TRUE(stop_go(&m.stop));
	EXPECT_EQ(0, task_join(&making, JOIN_SECONDS));
	EXPECT_EQ(0, fsync(d));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_exists("d/new"));
	close(d);
	trace_write("kprobe_events", "-:rfs_made\n");
}

/*
 * The directory cannot be written. Each file is told, as long as its name is not there;
 * and what could be written later is not an error any more.
 */
TEST_F(fs_fsync, directory_that_cannot_be_written)
{
	struct vol_map map;
	int f, g;

	ASSERT_EQ(0, vol_mkdir("d"));
	vol_sync();
	ASSERT_EQ(0, vol_block(&self->v, "d", 0, &map));
	f = vol_make("d/f", LEN, 1);
	g = vol_make("d/g", LEN, 2);
	ASSERT_LE(0, f);
	ASSERT_LE(0, g);
	ASSERT_EQ(0, vol_fail(&self->v, &map));
	EXPECT_EQ(-1, fsync(f));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, fsync(g));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, vol_unroute(&self->v));
	EXPECT_EQ(0, fsync(g));
	EXPECT_EQ(0, fsync(f));
	ASSERT_EQ(0, lose_power(&self->v));
	EXPECT_TRUE(lost_holds("d/f", LEN, 1));
	EXPECT_TRUE(lost_holds("d/g", LEN, 2));
}

TEST_HARNESS_MAIN

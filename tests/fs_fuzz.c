// SPDX-License-Identifier: GPL-2.0
/*
 * Hostile images: real volumes, made by all tools there are, with damage that depends on
 * a seed. Each is mounted, walked, read, written and unmounted. There must be no oops, no
 * warning, no endless loop, and no effect outside of it. See fuzz/fuzz.h.
 *
 * From the environment:
 *	FUZZ_SEED	of the first image; the others have those after it
 *	FUZZ_IMAGES	how many images
 *	FUZZ_COMPARE	hold every so many-th against e2fsck and the ext4 driver; 0: none
 *	FUZZ_DIR	the directory, or the archive, with the images
 *	FUZZ_VERBOSE	say all that is done
 *	FUZZ_GO_ON	do not stop at the first image with which something is wrong
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"
#include "fuzz/fuzz.h"

#define CONSOLE_LEVEL	8	/* klogctl(2) */
#define UNPACKED	"/tmp/rfs-fuzz"

FIXTURE(fs_fuzz) {
	struct fuzz *f;
};

static int read_images(struct image_set *set)
{
	const char *from = getenv("FUZZ_DIR");
	struct stat st;

	if (!from)
		from = "/retryfs/images.tar.zst";
	if (stat(from, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode)) {
		const char *const unpack[] = { "tar", "--zstd", "-xf", from, "-C", UNPACKED, NULL };

		if (mkdir(UNPACKED, 0700) && errno != EEXIST)
			return -errno;
		if (run(0, unpack))
			return -EIO;
		from = UNPACKED;
	}
	return images_read(set, from);
}

FIXTURE_SETUP(fs_fuzz)
{
	struct fuzz *f = calloc(1, sizeof(*f));
	int err;

	self->f = f;
	ASSERT_NE(NULL, f);
	err = read_images(&f->set);
	if (err == -ENOENT)
		SKIP(return, "no images: scripts/fuzz-images makes them");
	ASSERT_EQ(0, err);
	mkdir(env_dir(), 0755);
	ASSERT_EQ(0, arena_up(&f->arena, &f->set));
	f->buf = buf_alloc(f->set.largest);
	f->now = mmap(NULL, sizeof(*f->now), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, f->now);
	f->kmsg = kmsg_open();
	ASSERT_LE(0, f->kmsg);
	f->compare = env_number("FUZZ_COMPARE", env_on_debug() ? 20 : 25);
	f->verbose = env_number("FUZZ_VERBOSE", 0);
	/* What was said before the kernel died is not lost. */
	if (f->verbose)
		setlinebuf(stdout);
	/* A line on the console for each corruption would take most of the time. */
	klogctl(CONSOLE_LEVEL, NULL, 2);
}

FIXTURE_TEARDOWN(fs_fuzz)
{
	klogctl(CONSOLE_LEVEL, NULL, 6);
	if (self->f->arena.fd > 0)
		EXPECT_EQ(0, arena_down(&self->f->arena));
}

static void tell(const struct progress *now)
{
	printf("# %u images: %u mounted, %u refused, %u reported to be corrupt; %u compared, of which e2fsck takes %u and %u are refused on purpose\n",
	       now->images, now->mounted, now->refused, now->reported, now->compared, now->clean,
	       now->deliberate);
	fflush(stdout);
}

/* All images. 0, or 1 if anything was wrong. */
static int work(struct fuzz *f, uint64_t seed, uint64_t images)
{
	bool go_on = env_number("FUZZ_GO_ON", 0);
	int status = 0;

	for (; images--; seed++) {
		if (!fuzz_one(f, seed)) {
			printf("# image %llu: %s\n", (unsigned long long)seed, f->now->wrong);
			fflush(stdout);
			f->now->wrong[0] = 0;
			status = 1;
			if (!go_on)
				break;
		}
		if (f->now->images % 1000 == 0)
			tell(f->now);
	}
	return status;
}

static void tell_stack(pid_t pid)
{
	char path[64], line[256];
	FILE *s;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	s = fopen(path, "r");
	while (s && fgets(line, sizeof(line), s))
		printf("#   %s", line);
	if (s)
		fclose(s);
}

/* Look on until it has ended. Its status; -ETIME when nothing went on for so many seconds. */
static int look_on(struct progress *now, pid_t pid, int seconds)
{
	struct pollfd end = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	uint64_t steps = 0;
	int still = 0, status;

	while (!poll(&end, 1, 1000)) {
		still = steps == now->steps ? still + 1 : 0;
		steps = now->steps;
		if (still == seconds) {
			printf("# image %llu: no end of \"%s\"\n", (unsigned long long)now->seed, now->step);
			tell_stack(pid);
			kill(pid, SIGKILL);
			printf("# it can%s be killed\n", poll(&end, 1, 10000) ? "" : "not");
			close(end.fd);
			return -ETIME;
		}
	}
	close(end.fd);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -ECHILD;
	return WEXITSTATUS(status);
}

/* By hand it runs for hours: look_on() sees whether anything hangs. */
TEST_F_TIMEOUT(fs_fuzz, images, 7 * 24 * 3600)
{
	uint64_t seed = env_number("FUZZ_SEED", 1);
	uint64_t images = env_number("FUZZ_IMAGES", env_on_debug() ? 40 : 300);
	struct progress *now = self->f->now;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exit(work(self->f, seed, images));
	}
	EXPECT_EQ(0, look_on(now, pid, env_on_debug() ? 600 : 200));
	tell(now);
	/* The one image that is all there is may be one that is refused. */
	EXPECT_TRUE(images < 100 || now->mounted * 2 > now->images);
}

TEST_HARNESS_MAIN

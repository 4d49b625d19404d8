// SPDX-License-Identifier: GPL-2.0
/*
 * usage: first TYPE DEVICE DIRECTORY
 *
 * Mounts DEVICE at DIRECTORY, asks how much space there is, asks again, creates a file, and prints how long each of
 * these took, in nanoseconds.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void report(const char *what, long long start)
{
	printf("%s %lld\n", what, now() - start);
}

int main(int argc, char **argv)
{
	struct statfs st;
	long long start;
	int fd, i;

	if (argc != 4)
		errx(2, "see the first lines of the source");
	start = now();
	if (mount(argv[2], argv[3], argv[1], 0, NULL))
		err(1, "cannot mount %s", argv[2]);
	report("mount", start);
	for (i = 0; i < 2; i++) {
		start = now();
		if (statfs(argv[3], &st))
			err(1, "statfs");
		report(i ? "df-again" : "df", start);
	}
	if (chdir(argv[3]))
		err(1, "chdir");
	start = now();
	fd = open("first", O_CREAT | O_EXCL | O_WRONLY, 0644);
	if (fd < 0)
		err(1, "cannot create a file");
	report("create", start);
	close(fd);
	if (unlink("first"))
		err(1, "unlink");
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env.h"

static const char *env_or(const char *name, const char *other)
{
	const char *v = getenv(name);

	return v && *v ? v : other;
}

const char *env_fstype(void)
{
	return env_or("FSTYPE", "retryfs");
}

const char *env_options(void)
{
	return getenv("MOUNT_OPTIONS");
}

bool env_async_alloc(void)
{
	const char *options = env_options();

	return options && strstr(options, "async_alloc") && !strstr(options, "noasync_alloc");
}

const char *env_dev(void)
{
	return env_or("TEST_DEV", "/dev/vda");
}

const char *env_dir(void)
{
	return env_or("TEST_DIR", "/mnt/retryfs");
}

const char *env_module(void)
{
	return env_or("RETRYFS_KO", NULL);
}

bool env_is_retryfs(void)
{
	return !strcmp(env_fstype(), "retryfs");
}

bool env_on_debug(void)
{
	return !strcmp(env_or("RIG_KERNEL", ""), "debug");
}

uint64_t env_number(const char *name, uint64_t other)
{
	const char *v = env_or(name, NULL);

	return v ? strtoull(v, NULL, 0) : other;
}

unsigned int env_scale(void)
{
	unsigned int n = env_number("TEST_SCALE", 1);

	return n ? n : 1;
}

static void print_commented(int fd)
{
	char line[512];
	FILE *f;

	lseek(fd, 0, SEEK_SET);
	f = fdopen(fd, "r");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		printf("#   %s%s", line, strchr(line, '\n') ? "" : "\n");
	fclose(f);
	fflush(stdout);
}

int run(int quiet, const char *const argv[])
{
	int out = memfd_create("out", MFD_CLOEXEC);
	posix_spawn_file_actions_t actions;
	int status, err;
	pid_t pid;

	if (out < 0)
		return -errno;
	fflush(stdout);
	/* not fork(): a test with much memory has many page tables to copy */
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, out, 2);
	err = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (err) {
		printf("# %s: %s\n", argv[0], strerror(err));
		close(out);
		return 127;
	}
	if (waitpid(pid, &status, 0) < 0) {
		close(out);
		return -errno;
	}
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (status && status != quiet) {
		printf("# %s: exit status %d\n", argv[0], status);
		print_commented(out);
	} else {
		close(out);
	}
	return status;
}

int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	lseek(fd, 0, SEEK_END);
	return fd;
}

bool kmsg_has(int fd, const char *const words[])
{
	char rec[8192];
	ssize_t n;
	int i;

	for (;;) {
		n = read(fd, rec, sizeof(rec) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return false;
		rec[n] = 0;
		for (i = 0; words[i] && strcasestr(rec, words[i]); i++)
			;
		if (!words[i])
			return true;
		printf("# log: %.*s\n", (int)strcspn(rec, "\n"), rec);
	}
}

int hung_task_seconds(int seconds)
{
	FILE *f = fopen("/proc/sys/kernel/hung_task_timeout_secs", "r+e");
	int before;

	if (!f)
		return -errno;
	if (fscanf(f, "%d", &before) != 1)
		before = -EIO;
	rewind(f);
	fprintf(f, "%d\n", seconds);
	return fclose(f) ? -errno : before;
}

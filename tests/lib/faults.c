// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "faults.h"
#include "put.h"

#define DEBUGFS "/sys/kernel/debug"

static int fail_nth = -1;

static int set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s", name);
	return put(path, value);
}

int faults_setup(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{}
	};
	int err = 0;
	int i;

	if (fail_nth >= 0)
		close(fail_nth);
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		return -errno;
	if (access(DEBUGFS "/failslab", F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	for (i = 0; settings[i][0] && !err; i++)
		err = set(settings[i][0], settings[i][1]);
	return err;
}

int faults_only_nowait(void)
{
	int err = faults_setup();

	if (!err)
		err = set("failslab/ignore-gfp-wait", "Y");
	return err ? err : set("fail_page_alloc/ignore-gfp-wait", "Y");
}

int faults_begin(int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	return pwrite(fail_nth, text, len, 0) == len ? 0 : -errno;
}

int faults_left(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
		return -errno;
	if (pwrite(fail_nth, "0", 1, 0) != 1)
		return -errno;
	return atoi(text);
}

int faults_end(void)
{
	int left = faults_left();

	return left < 0 ? left : left == 0;
}

static bool is_kworker(const char *pid)
{
	char path[288], comm[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(comm, sizeof(comm), f))
		comm[0] = 0;
	fclose(f);
	return !strncmp(comm, "kworker/", 8);
}

/* Give all of them @nth; how many have refused what they were to before that. */
static int each_kworker(int nth)
{
	struct dirent *entry;
	int refused = 0, len;
	char path[288], text[16];
	DIR *proc = opendir("/proc");

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		char was[16] = "";
		int fd;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !is_kworker(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fail-nth", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		/* it may have gone */
		if (fd < 0)
			continue;
		if (pread(fd, was, sizeof(was) - 1, 0) > 0 && atoi(was) == 0)
			refused++;
		len = snprintf(text, sizeof(text), "%d", nth);
		if (pwrite(fd, text, len, 0) != len)
			refused = -errno;
		close(fd);
	}
	closedir(proc);
	return refused;
}

int faults_begin_kworkers(int nth)
{
	int n = each_kworker(nth);

	return n < 0 ? n : 0;
}

int faults_end_kworkers(void)
{
	int n = each_kworker(0);

	return n < 0 ? n : n > 0;
}

/* Whether a slab takes part: of those that failslab/cache-filter asks. */
static int set_slabs(const char *pattern, bool refuse)
{
	glob_t found;
	int err = 0;
	size_t i;

	if (glob(pattern, 0, NULL, &found))
		return -ENOENT;
	for (i = 0; i < found.gl_pathc && !err; i++)
		err = put(found.gl_pathv[i], refuse ? "1" : "0");
	globfree(&found);
	return err;
}

int faults_refuse_bios(bool refuse)
{
	int err = set_slabs("/sys/kernel/slab/bio-*/failslab", refuse);

	if (!err)
		err = set_slabs("/sys/kernel/slab/biovec-*/failslab", refuse);
	if (err)
		return err;
	if (access(DEBUGFS "/failslab", F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	err = set("failslab/probability", "0");
	if (!err)
		err = set("failslab/cache-filter", refuse ? "Y" : "N");
	if (!err)
		err = set("failslab/ignore-gfp-wait", "N");
	if (!err)
		err = set("failslab/verbose", "0");
	if (!err)
		err = set("failslab/times", "-1");
	if (!err && refuse)
		err = set("failslab/probability", "100");
	return err;
}

static pid_t program;

/* A case that was killed must not leave it on. */
static void refuse_nothing(void)
{
	if (getpid() == program)
		faults_refuse_bios(false);
}

__attribute__((constructor)) static void refuse_nothing_at_exit(void)
{
	program = getpid();
	atexit(refuse_nothing);
}

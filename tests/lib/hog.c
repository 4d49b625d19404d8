// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hog.h"

#define CHUNK	(1UL << 20)
#define CHUNKS	(1UL << 14)

static unsigned long available_mib(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f;

	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "MemAvailable:", 13))
			kib = strtoul(line + 13, NULL, 10);
	if (f)
		fclose(f);
	return kib >> 10;
}

/* Should memory run out all the same, this is the one to go. */
static void volunteer(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "we");

	if (!f)
		return;
	fputs("1000\n", f);
	fclose(f);
}

static void hog_main(unsigned long *shared, unsigned int leave)
{
	struct timespec ms10 = { .tv_nsec = 10000000 };
	char *mem = mmap(NULL, CHUNK * CHUNKS, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		_exit(1);
	for (;;) {
		unsigned long left = available_mib();

		if (left > leave + leave / 4 && shared[0] < CHUNKS) {
			memset(mem + CHUNK * shared[0]++, 1, CHUNK);
			if (shared[0] > shared[1])
				shared[1] = shared[0];
			continue;
		}
		if (left < leave && shared[0])
			madvise(mem + CHUNK * --shared[0], CHUNK, MADV_DONTNEED);
		/* Others take memory too, and give it back: go on looking. */
		__atomic_store_n(&shared[2], 1, __ATOMIC_RELEASE);
		nanosleep(&ms10, NULL);
	}
}

int hog_start(struct hog *h, unsigned int mib)
{
	struct timespec ms10 = { .tv_nsec = 10000000 };

	h->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h->shared == MAP_FAILED)
		return -errno;
	h->pid = fork();
	if (h->pid < 0)
		return -errno;
	if (!h->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* The filesystem must be free to be unmounted. */
		close_range(3, ~0U, 0);
		volunteer();
		hog_main(h->shared, mib);
	}
	while (!__atomic_load_n(&h->shared[2], __ATOMIC_ACQUIRE)) {
		if (waitpid(h->pid, NULL, WNOHANG) == h->pid)
			return -ENOMEM;
		nanosleep(&ms10, NULL);
	}
	return 0;
}

void hog_stop(struct hog *h)
{
	h->most = h->shared[1];
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
}

// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "bios.h"
#include "trace.h"

#define EVENT	"events/block/block_bio_queue/enable"

int bios_watch(void)
{
	int err = trace_write("trace", "\n");

	trace_clear();
	return err ?: trace_write(EVENT, "1");
}

/* Stop counting, and call @line for each bio: with its flags and what follows them. 0 or -errno. */
static int each(struct vol *v, void (*line)(const char *bio, void *arg), void *arg)
{
	char text[512], dev[32];
	struct stat st;
	FILE *f;

	trace_write(EVENT, "0");
	f = trace_open();
	if (!f || stat(v->dev, &st))
		return -errno;
	snprintf(dev, sizeof(dev), "block_bio_queue: %d,%d ", major(st.st_rdev), minor(st.st_rdev));
	while (fgets(text, sizeof(text), f)) {
		const char *bio = strstr(text, dev);

		if (bio)
			line(bio + strlen(dev), arg);
	}
	fclose(f);
	return 0;
}

static void count(const char *bio, void *arg)
{
	struct bios *b = arg;

	b->through += !strncmp(bio, "WF", 2);
	b->flushes += *bio == 'F';
}

int bios_seen(struct vol *v, struct bios *b)
{
	*b = (struct bios){};
	return each(v, count, b);
}

struct written {
	uint64_t sector;
	int nr;
};

static void count_written(const char *bio, void *arg)
{
	struct written *w = arg;
	unsigned long long start, len;

	if (*bio == 'W' && sscanf(bio, "%*s %llu + %llu", &start, &len) == 2)
		w->nr += start <= w->sector && w->sector < start + len;
}

int bios_written(struct vol *v, uint64_t sector)
{
	struct written w = { .sector = sector };

	return each(v, count_written, &w) ?: w.nr;
}

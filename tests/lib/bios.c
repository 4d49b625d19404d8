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

int bios_seen(struct vol *v, struct bios *b)
{
	char line[512], dev[32];
	struct stat st;
	FILE *f;

	trace_write(EVENT, "0");
	*b = (struct bios){};
	f = trace_open();
	if (!f || stat(v->dev, &st))
		return -errno;
	snprintf(dev, sizeof(dev), "block_bio_queue: %d,%d ", major(st.st_rdev), minor(st.st_rdev));
	while (fgets(line, sizeof(line), f)) {
		char *what = strstr(line, dev);

		if (!what)
			continue;
		what += strlen(dev);
		b->through += !strncmp(what, "WF", 2);
		b->flushes += *what == 'F';
	}
	fclose(f);
	return 0;
}

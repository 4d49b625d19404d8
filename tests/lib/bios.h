/* SPDX-License-Identifier: GPL-2.0 */
/* The bios that come to the device of a volume, by the trace events of the block layer. */
#ifndef RFS_BIOS_H
#define RFS_BIOS_H

#include "vol.h"

struct bios {
	int through;	/* writes with REQ_FUA */
	int flushes;
};

/* Count from now on: 0 or -errno. */
int bios_watch(void);
/* Those since then, and no more: 0 or -errno. */
int bios_seen(struct vol *v, struct bios *b);

/* The same: how often this sector was written, or -errno. */
int bios_written(struct vol *v, uint64_t sector);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A disk in the memory of the test, by the kernel's network block device: the test sees
 * each request, and can have one fail, or keep it. No two bios become one request.
 */
#ifndef RFS_NBD_H
#define RFS_NBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nbd;
struct vol;
struct vol_conf;

/*
 * A disk of @mib MiB with a volatile cache, whose node is put to @node: NULL and a message, or errno is ENOENT
 * where there is no such driver. Without @fua it cannot write through that cache.
 */
struct nbd *nbd_up(unsigned int mib, bool fua, char *node, size_t nodelen);
void nbd_down(struct nbd *d);
/*
 * The same, and a volume on it in the place of TEST_DEV, with device-mapper, as by vol_up(): for the calling process and
 * its children.
 */
struct nbd *nbd_vol_up(struct vol *v, const struct vol_conf *conf);
/* All files have to be closed. Not 0 when e2fsck finds anything at all. */
int nbd_vol_down(struct nbd *d, struct vol *v);
/* Without device-mapper, and without FUA: a volume of 1 MiB, of blocks of 1 KiB, that is mounted as it is. */
struct nbd *nbd_bare_up(struct vol *v);
int nbd_bare_down(struct nbd *d, struct vol *v);
/* What the disk has. Nobody must be using it. */
char *nbd_bytes(struct nbd *d);

enum nbd_fault { NBD_NONE, NBD_FAIL, NBD_KEEP, NBD_FAIL_FLUSHES, NBD_STALL, NBD_HALVE };

/*
 * From now on count requests, from 1; the @nth of them fails, or is kept, or all from that one on are (NBD_STALL); or all that are
 * flushes fail.
 */
void nbd_begin(struct nbd *d, enum nbd_fault what, unsigned int nth);
/* Is it the only request that the disk has which is kept? */
bool nbd_keeps(struct nbd *d);
/* Has it come to the request from which on all are? */
bool nbd_stalls(struct nbd *d);
/* Let go what is kept. */
void nbd_release(struct nbd *d);
/*
 * Let the disk take so many requests at once, four at least, of so many KiB, a page at least. It forgets that with
 * nbd_down(). 0 or -errno.
 */
int nbd_narrow(unsigned int requests, unsigned int kib);
/* The same, and no more faults. How many requests there were. */
unsigned int nbd_end(struct nbd *d);
/* How many of those that came since nbd_begin() were flushes. */
unsigned int nbd_flushes(struct nbd *d);
/*
 * From now on the driver sends no more than NBD_HALF bytes of a write that begins at byte @at, and of what comes
 * behind it, until nbd_end(): the rest is taken from memory then.
 */
#define NBD_HALF	2240
void nbd_halve(struct nbd *d, uint64_t at);
/* Wait until it has sent these; false if it does not come to that. */
bool nbd_wait_half(struct nbd *d);
/* Has it come to the fault? What that request was: "write 1024 bytes at 2048". */
bool nbd_hit(struct nbd *d, char *what, size_t len);
/* Was that a read? */
bool nbd_hit_read(struct nbd *d);
/* Has it failed, being none, and was it not done again since? Before nbd_end(). */
bool nbd_lost(struct nbd *d);

#endif

// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nbd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "disk.h"
#include "env.h"
#include "nbd.h"
#include "pattern.h"
#include "put.h"

#define NODE	"/dev/nbd0"
#define QUEUE	"/sys/block/nbd0/queue/"
#define INFLIGHT	"/sys/block/nbd0/inflight"
#define SECTOR	512

struct nbd {
	int dev, sock, far;
	char *bytes;
	size_t size;
	pthread_t driver, server;
	pthread_mutex_t lock;
	pthread_cond_t ended;		/* there are no more faults */
	enum nbd_fault fault;
	unsigned int nth, seen, flushes;
	bool hit, kept, is_half;
	uint64_t halved_at;
	bool stalled;
	pthread_cond_t go_on;
	bool done_again;		/* after it has failed */
	struct nbd_request which;	/* what it was, as it came */
	char *data;			/* of a write */
};

static bool all(int fd, void *buf, size_t len, bool out)
{
	ssize_t n;

	for (; len; len -= n, buf = (char *)buf + n) {
		n = out ? send(fd, buf, len, MSG_NOSIGNAL) : recv(fd, buf, len, 0);
		if (n <= 0)
			return false;
	}
	return true;
}

static uint32_t command(const struct nbd_request *r)
{
	return be32toh(r->type) & 0xffff;
}

/* Do it, if @error is 0, and say so. */
static bool answer(struct nbd *d, const struct nbd_request *r, char *data, int error)
{
	struct nbd_reply reply = {
		.magic = htobe32(NBD_REPLY_MAGIC),
		.error = htobe32(error),
		.cookie = r->cookie,
	};
	uint64_t at = be64toh(r->from);
	uint32_t len = be32toh(r->len);

	if (!error && command(r) == NBD_CMD_WRITE)
		memcpy(d->bytes + at, data, len);
	if (!error && command(r) == NBD_CMD_TRIM)
		poison_fill(d->bytes + at, len);
	if (!all(d->sock, &reply, sizeof(reply), true))
		return false;
	return error || command(r) != NBD_CMD_READ || all(d->sock, d->bytes + at, len, true);
}

/* Does it do what has failed: writes there, or flushes? */
static bool does_again(const struct nbd_request *r, const struct nbd_request *failed)
{
	uint64_t at = be64toh(failed->from), from = be64toh(r->from);

	if (command(r) != command(failed))
		return false;
	return command(r) == NBD_CMD_FLUSH ||
	       (from <= at && from + be32toh(r->len) >= at + be32toh(failed->len));
}

/* The error of the request that has just come. */
static int error_of(const struct nbd *d, const struct nbd_request *r)
{
	if (d->fault == NBD_FAIL_FLUSHES)
		return command(r) == NBD_CMD_FLUSH ? EIO : 0;
	return d->hit && d->seen == d->nth ? EIO : 0;
}

/* Wait for a request, and keep the driver from sending all of one that is to be halved: it is not read until then. */
static bool comes(struct nbd *d)
{
	struct nbd_request r;

	if (recv(d->sock, &r, sizeof(r), MSG_PEEK | MSG_WAITALL) != sizeof(r))
		return false;
	pthread_mutex_lock(&d->lock);
	d->is_half = d->fault == NBD_HALVE && command(&r) == NBD_CMD_WRITE &&
		     be64toh(r.from) == d->halved_at;
	while (d->is_half && d->fault == NBD_HALVE)
		pthread_cond_wait(&d->ended, &d->lock);
	d->is_half = false;
	pthread_mutex_unlock(&d->lock);
	return true;
}

static void *serve(void *arg)
{
	struct nbd *d = arg;
	char *data = buf_alloc(d->size);
	struct nbd_request r;
	bool ok = true;

	while (ok && comes(d) && all(d->sock, &r, sizeof(r), false)) {
		if (command(&r) == NBD_CMD_DISC)
			break;
		if (command(&r) == NBD_CMD_WRITE && !all(d->sock, data, be32toh(r.len), false))
			break;
		pthread_mutex_lock(&d->lock);
		d->seen++;
		d->flushes += command(&r) == NBD_CMD_FLUSH;
		d->stalled = d->fault == NBD_STALL && d->seen == d->nth;
		while (d->stalled)
			pthread_cond_wait(&d->go_on, &d->lock);
		if ((d->fault == NBD_FAIL || d->fault == NBD_KEEP) && d->seen == d->nth) {
			d->hit = true;
			d->which = r;
			d->kept = d->fault == NBD_KEEP;
			if (d->kept && command(&r) == NBD_CMD_WRITE)
				memcpy(d->data, data, be32toh(r.len));
		}
		if (d->hit && d->seen > d->nth && does_again(&r, &d->which))
			d->done_again = true;
		if (!d->kept || d->seen != d->nth)
			ok = answer(d, &r, data, error_of(d, &r));
		pthread_mutex_unlock(&d->lock);
	}
	/* the driver waits for that */
	shutdown(d->sock, SHUT_RDWR);
	return NULL;
}

static void *drive(void *arg)
{
	struct nbd *d = arg;

	/* returns when it is disconnected */
	ioctl(d->dev, NBD_DO_IT);
	return NULL;
}

static int connect_device(struct nbd *d, bool fua)
{
	int flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_TRIM |
		    (fua ? NBD_FLAG_SEND_FUA : 0);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -errno;
	d->sock = pair[0];
	d->far = pair[1];
	ioctl(d->dev, NBD_CLEAR_SOCK);
	if (ioctl(d->dev, NBD_SET_BLKSIZE, SECTOR) ||
	    ioctl(d->dev, NBD_SET_SIZE_BLOCKS, d->size / SECTOR) ||
	    ioctl(d->dev, NBD_SET_FLAGS, flags) || ioctl(d->dev, NBD_SET_SOCK, d->far))
		return -errno;
	if (pthread_create(&d->server, NULL, serve, d) || pthread_create(&d->driver, NULL, drive, d))
		return -EAGAIN;
	return 0;
}

/* The node has its size when the driver has begun, in the thread. */
static int wait_for_size(const struct nbd *d)
{
	const struct timespec ms10 = { .tv_nsec = 10000000 };
	uint64_t bytes = 0;
	int i;

	for (i = 0; i < 3000; i++, nanosleep(&ms10, NULL)) {
		if (ioctl(d->dev, BLKGETSIZE64, &bytes))
			return -errno;
		if (bytes == d->size)
			return 0;
	}
	return -ETIMEDOUT;
}

struct nbd *nbd_up(unsigned int mib, bool fua, char *node, size_t nodelen)
{
	const char *const modprobe[] = { "modprobe", "-q", "nbd", "nbds_max=1", "max_part=0", NULL };
	struct nbd *d;
	int err;

	if (access("/sys/module/nbd", F_OK) && run(1, modprobe)) {
		errno = ENOENT;
		return NULL;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->go_on, NULL);
	pthread_cond_init(&d->ended, NULL);
	d->size = (size_t)mib << 20;
	d->bytes = buf_alloc(d->size);
	d->data = buf_alloc(d->size);
	d->dev = open(NODE, O_RDWR | O_CLOEXEC);
	err = d->dev < 0 ? -errno : connect_device(d, fua);
	if (!err)
		err = wait_for_size(d);
	if (!err)
		err = put(QUEUE "nomerges", "2");
	if (!err)
		err = put(QUEUE "scheduler", "none");
	if (err) {
		printf("# %s: %s\n", NODE, strerror(-err));
		errno = -err;
		return NULL;
	}
	snprintf(node, nodelen, "%s", NODE);
	return d;
}

void nbd_down(struct nbd *d)
{
	nbd_end(d);
	ioctl(d->dev, NBD_DISCONNECT);
	pthread_join(d->server, NULL);
	pthread_join(d->driver, NULL);
	ioctl(d->dev, NBD_CLEAR_SOCK);
	close(d->dev);
	close(d->sock);
	close(d->far);
}

struct nbd *nbd_vol_up(struct vol *v, const struct vol_conf *conf)
{
	struct disk disk = {};
	struct nbd *d = nbd_up(conf->mib, true, disk.node, sizeof(disk.node));

	if (d && disk_route_up(&disk, v, conf)) {
		errno = EIO;
		return NULL;
	}
	return d;
}

int nbd_vol_down(struct nbd *d, struct vol *v)
{
	int err;

	nbd_end(d);
	/* vol_down() would close the sockets, too */
	err = v->mounted ? vol_umount_soon(v) : 0;
	err = err ?: vol_unroute(v) ?: vol_fsck(v);
	route_remove();
	nbd_down(d);
	return err;
}

struct nbd *nbd_bare_up(struct vol *v)
{
	const struct vol_conf conf = { .bs = 1024, .isize = 128 };
	struct nbd *d;

	*v = (struct vol){ .bs = conf.bs, .isize = conf.isize, .sectors = (1 << 20) / 512 };
	umount2(env_dir(), 0);
	d = nbd_up(1, false, v->dev, sizeof(v->dev));
	if (d && (vol_mkfs(v, &conf) || vol_mount(v, env_fstype(), 0, NULL))) {
		nbd_down(d);
		errno = EIO;
		return NULL;
	}
	return d;
}

int nbd_bare_down(struct nbd *d, struct vol *v)
{
	int err = vol_umount(v) ?: vol_fsck(v);

	nbd_down(d);
	return err;
}

char *nbd_bytes(struct nbd *d)
{
	return d->bytes;
}

void nbd_begin(struct nbd *d, enum nbd_fault what, unsigned int nth)
{
	pthread_mutex_lock(&d->lock);
	d->fault = what;
	d->nth = nth;
	d->seen = 0;
	d->flushes = 0;
	d->hit = false;
	d->done_again = false;
	pthread_mutex_unlock(&d->lock);
}

void nbd_release(struct nbd *d)
{
	pthread_mutex_lock(&d->lock);
	if (d->kept)
		answer(d, &d->which, d->data, 0);
	d->kept = false;
	d->stalled = false;
	pthread_cond_signal(&d->go_on);
	pthread_mutex_unlock(&d->lock);
}

bool nbd_stalls(struct nbd *d)
{
	bool stalled;

	pthread_mutex_lock(&d->lock);
	stalled = d->stalled;
	pthread_mutex_unlock(&d->lock);
	return stalled;
}

int nbd_narrow(unsigned int requests, unsigned int kib)
{
	char text[16];
	int err;

	snprintf(text, sizeof(text), "%u", requests);
	err = put(QUEUE "nr_requests", text);
	if (err)
		return err;
	snprintf(text, sizeof(text), "%u", kib);
	return put(QUEUE "max_sectors_kb", text);
}

unsigned int nbd_end(struct nbd *d)
{
	/* in this order: one that comes now is not kept */
	pthread_mutex_lock(&d->lock);
	d->fault = NBD_NONE;
	pthread_cond_signal(&d->ended);
	pthread_mutex_unlock(&d->lock);
	nbd_release(d);
	return d->seen;
}

unsigned int nbd_flushes(struct nbd *d)
{
	unsigned int n;

	pthread_mutex_lock(&d->lock);
	n = d->flushes;
	pthread_mutex_unlock(&d->lock);
	return n;
}

void nbd_halve(struct nbd *d, uint64_t at)
{
	/* the least there is: room for the head of a request, and for one piece of its data, of which the size follows from it */
	const int least = 1;

	setsockopt(d->far, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	d->halved_at = at;
	nbd_begin(d, NBD_HALVE, 0);
}

bool nbd_wait_half(struct nbd *d)
{
	struct timespec ms10 = { .tv_nsec = 10000000 };
	int i, sent = 0;

	for (i = 0; i < 1000; i++, nanosleep(&ms10, NULL)) {
		bool is_half;

		pthread_mutex_lock(&d->lock);
		is_half = d->is_half;
		pthread_mutex_unlock(&d->lock);
		if (is_half && !ioctl(d->sock, FIONREAD, &sent) &&
		    sent == sizeof(struct nbd_request) + NBD_HALF)
			return true;
	}
	printf("# %s: %d bytes were sent\n", NODE, sent);
	return false;
}

bool nbd_keeps(struct nbd *d)
{
	unsigned int reads = 0, writes = 0;
	bool kept;
	FILE *f;

	pthread_mutex_lock(&d->lock);
	kept = d->kept;
	pthread_mutex_unlock(&d->lock);
	f = fopen(INFLIGHT, "re");
	if (!f)
		return kept;
	if (fscanf(f, "%u %u", &reads, &writes) != 2)
		reads = 1;
	fclose(f);
	/* a flush is neither */
	return kept && reads + writes <= 1;
}

bool nbd_hit(struct nbd *d, char *what, size_t len)
{
	static const char *const names[] = {
		[NBD_CMD_READ] = "read", [NBD_CMD_WRITE] = "write", [NBD_CMD_FLUSH] = "flush",
		[NBD_CMD_TRIM] = "discard",
	};
	bool hit;

	pthread_mutex_lock(&d->lock);
	hit = d->hit;
	if (hit)
		snprintf(what, len, "%s%s of %u bytes at %llu", names[command(&d->which) % (NBD_CMD_TRIM + 1)],
			 be32toh(d->which.type) & NBD_CMD_FLAG_FUA ? ", fua," : "",
			 be32toh(d->which.len), (unsigned long long)be64toh(d->which.from));
	pthread_mutex_unlock(&d->lock);
	return hit;
}

bool nbd_lost(struct nbd *d)
{
	bool lost;

	pthread_mutex_lock(&d->lock);
	lost = d->hit && d->fault == NBD_FAIL && command(&d->which) != NBD_CMD_READ && !d->done_again;
	pthread_mutex_unlock(&d->lock);
	return lost;
}

bool nbd_hit_read(struct nbd *d)
{
	bool read;

	pthread_mutex_lock(&d->lock);
	read = d->hit && command(&d->which) == NBD_CMD_READ;
	pthread_mutex_unlock(&d->lock);
	return read;
}

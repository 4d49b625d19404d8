// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uring.h"

static void *ring_map(int fd, size_t len, uint64_t off)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		    fd, off);
}

int uring_setup(struct uring *u, unsigned int entries)
{
	struct io_uring_params p = {};

	return uring_setup_params(u, entries, &p);
}

int uring_setup_params(struct uring *u, unsigned int entries, struct io_uring_params *p)
{
	size_t sq_len, cq_len;
	char *ring;

	u->fd = syscall(SYS_io_uring_setup, entries, p);
	if (u->fd < 0)
		return -errno;
	u->entries = p->sq_entries;
	sq_len = p->sq_off.array + p->sq_entries * sizeof(unsigned int);
	cq_len = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	/* All kernels that have retryfs have IORING_FEAT_SINGLE_MMAP. */
	ring = ring_map(u->fd, sq_len > cq_len ? sq_len : cq_len, IORING_OFF_SQ_RING);
	u->sqes = ring_map(u->fd, p->sq_entries * sizeof(*u->sqes), IORING_OFF_SQES);
	if (ring == MAP_FAILED || (void *)u->sqes == MAP_FAILED) {
		close(u->fd);
		return -ENOMEM;
	}
	u->sq_tail = (void *)(ring + p->sq_off.tail);
	u->sq_mask = (void *)(ring + p->sq_off.ring_mask);
	u->sq_array = (void *)(ring + p->sq_off.array);
	u->cq_head = (void *)(ring + p->cq_off.head);
	u->cq_tail = (void *)(ring + p->cq_off.tail);
	u->cq_mask = (void *)(ring + p->cq_off.ring_mask);
	u->cqes = (void *)(ring + p->cq_off.cqes);
	return 0;
}

void uring_exit(struct uring *u)
{
	close(u->fd);
}

static int enter(struct uring *u)
{
	long n;

	__atomic_store_n(u->sq_tail, *u->sq_tail + 1, __ATOMIC_RELEASE);
	do {
		n = syscall(SYS_io_uring_enter, u->fd, 1, 0, 0, NULL, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n == 1 ? 0 : -EAGAIN;
}

int uring_submit_sqe(struct uring *u, const struct io_uring_sqe *sqe)
{
	unsigned int at = *u->sq_tail & *u->sq_mask;

	u->sqes[at] = *sqe;
	u->sq_array[at] = at;
	return enter(u);
}

struct io_uring_sqe uring_rw(bool write, int fd, const struct iovec *iov, int nr, uint64_t off,
			     int rwf)
{
	return (struct io_uring_sqe){
		.opcode = write ? IORING_OP_WRITEV : IORING_OP_READV,
		.fd = fd,
		.addr = (uintptr_t)iov,
		.len = nr,
		.off = off,
		.rw_flags = rwf,
	};
}

int uring_submit(struct uring *u, bool write, int fd, const struct iovec *iov,
		 int nr, uint64_t off, int rwf, uint64_t data)
{
	struct io_uring_sqe sqe = uring_rw(write, fd, iov, nr, off, rwf);

	sqe.user_data = data;
	return uring_submit_sqe(u, &sqe);
}

int uring_register(struct uring *u, const struct iovec *iov, int nr)
{
	return syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_BUFFERS, iov,
		       nr) ? -errno : 0;
}

int uring_submit_fixed(struct uring *u, bool write, int fd, int index, void *buf,
		       unsigned int len, uint64_t off, uint64_t data)
{
	const struct io_uring_sqe sqe = {
		.opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED,
		.fd = fd,
		.addr = (uintptr_t)buf,
		.len = len,
		.off = off,
		.buf_index = index,
		.user_data = data,
	};

	return uring_submit_sqe(u, &sqe);
}

int uring_reap(struct uring *u, bool wait, uint64_t *data, int *res)
{
	unsigned int head = *u->cq_head;

	while (head == __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE)) {
		if (!wait)
			return 0;
		if (syscall(SYS_io_uring_enter, u->fd, 0, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0 && errno != EINTR)
			return -errno;
	}
	*data = u->cqes[head & *u->cq_mask].user_data;
	*res = u->cqes[head & *u->cq_mask].res;
	__atomic_store_n(u->cq_head, head + 1, __ATOMIC_RELEASE);
	return 1;
}

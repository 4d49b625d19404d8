// SPDX-License-Identifier: GPL-2.0
/* Iterators over memory. */
#include <linux/uio.h>

bool kfs_helper_iov_iter_extract_will_pin(struct iov_iter *iter)
{
	return iov_iter_extract_will_pin(iter);
}

int kfs_helper_iov_iter_npages_cap(struct iov_iter *iter, int maxpages, size_t max_bytes)
{
	return iov_iter_npages_cap(iter, maxpages, max_bytes);
}

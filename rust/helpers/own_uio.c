// SPDX-License-Identifier: GPL-2.0
/* Memory of a bvec iterator that is in one piece. */
#include <linux/bvec.h>
#include <linux/uio.h>

/*
 * Take the next @len bytes, as iov_iter_extract_bvecs() would, if they are in one segment. Nothing is pinned. false, and nothing
 * is done, for others, and for iterators of another kind.
 */
bool kfs_helper_iov_iter_take_segment(struct iov_iter *iter, size_t len, struct bio_vec *bv)
{
	const struct bio_vec *from = iter->bvec;
	size_t offset = iter->iov_offset;

	if (!iov_iter_is_bvec(iter) || len > iter->count || offset > from->bv_len ||
	    len > from->bv_len - offset)
		return false;
	offset += from->bv_offset;
	bvec_set_page(bv, from->bv_page + (offset >> PAGE_SHIFT), len, offset_in_page(offset));
	iov_iter_advance(iter, len);
	return true;
}

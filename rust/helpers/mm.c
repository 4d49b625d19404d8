// SPDX-License-Identifier: GPL-2.0
/* Memory, and faults. */
#include <linux/mm.h>
#include <linux/sched/mm.h>

unsigned int kfs_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void kfs_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

void kfs_helper_release_fault_lock(struct vm_fault *vmf)
{
	release_fault_lock(vmf);
}

vm_fault_t kfs_helper_vmf_fs_error(int err)
{
	return vmf_fs_error(err);
}

struct page *kfs_helper_zero_page(void)
{
	return ZERO_PAGE(0);
}

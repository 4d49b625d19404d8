// SPDX-License-Identifier: GPL-2.0
/* Work. */
#include <linux/workqueue.h>

void kfs_helper_INIT_WORK(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

bool kfs_helper_queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	return queue_work(wq, work);
}

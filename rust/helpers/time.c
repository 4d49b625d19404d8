// SPDX-License-Identifier: GPL-2.0
/* The time of day. */
#include <linux/timekeeping.h>

u64 kfs_helper_ktime_get_real_ns(void)
{
	return ktime_get_real_ns();
}

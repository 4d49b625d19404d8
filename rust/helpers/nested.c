// SPDX-License-Identifier: GPL-2.0
/* A variable for each CPU, which Rust has no way to define. kfs::task is around it. */
#include <linux/percpu.h>
#include <linux/sched.h>

#include "nested.h"

static DEFINE_PER_CPU(unsigned int, kfs_nested);

unsigned int kfs_nested_enter(void)
{
	migrate_disable();
	return this_cpu_inc_return(kfs_nested);
}

void kfs_nested_exit(void)
{
	this_cpu_dec(kfs_nested);
	migrate_enable();
}

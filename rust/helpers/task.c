// SPDX-License-Identifier: GPL-2.0
/* The current task. */
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/task_io_accounting_ops.h>

bool kfs_helper_in_compat_syscall(void)
{
	return in_compat_syscall();
}

bool kfs_helper_fatal_signal_pending_current(void)
{
	return fatal_signal_pending(current);
}

void kfs_helper_cond_resched(void)
{
	cond_resched();
}

/* A function of the kernel, where it has it. */
#ifdef synchronize_rcu_tasks
void kfs_helper_synchronize_rcu_tasks(void)
{
	synchronize_rcu_tasks();
}
#endif

kuid_t kfs_helper_current_fsuid(void)
{
	return current_fsuid();
}

void kfs_helper_task_io_account_write(size_t bytes)
{
	task_io_account_write(bytes);
}

unsigned int kfs_helper_current_flags(void)
{
	return current->flags;
}

void kfs_helper_task_io_account_read(size_t bytes)
{
	task_io_account_read(bytes);
}

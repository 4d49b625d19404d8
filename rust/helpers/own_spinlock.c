// SPDX-License-Identifier: GPL-2.0
/*
 * Spinlocks that disable interrupts, for kernels whose Rust has none. Guards of several may be dropped in
 * any order: interrupts are enabled with the last one, if they were before the first one.
 */
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>

#ifndef kfs_has_spinlock_irq
/* How many this CPU holds, and how interrupts were before. Used with interrupts disabled. */
static DEFINE_PER_CPU(unsigned int, kfs_irq_depth);
static DEFINE_PER_CPU(unsigned long, kfs_irq_flags);

/* With PREEMPT_RT such a lock sleeps, and leaves interrupts as they are. */
static void kfs_irq_disable(void)
{
	unsigned long flags;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return;
	local_irq_save(flags);
	if (this_cpu_inc_return(kfs_irq_depth) == 1)
		this_cpu_write(kfs_irq_flags, flags);
}

static void kfs_irq_enable(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return;
	if (!this_cpu_dec_return(kfs_irq_depth))
		local_irq_restore(this_cpu_read(kfs_irq_flags));
}

void kfs_helper_spin_lock_irq_nested(spinlock_t *lock)
{
	kfs_irq_disable();
	spin_lock(lock);
}

void kfs_helper_spin_unlock_irq_nested(spinlock_t *lock)
{
	spin_unlock(lock);
	kfs_irq_enable();
}

bool kfs_helper_spin_trylock_irq_nested(spinlock_t *lock)
{
	kfs_irq_disable();
	if (spin_trylock(lock))
		return true;
	kfs_irq_enable();
	return false;
}
#endif

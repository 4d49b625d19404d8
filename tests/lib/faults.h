/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that is refused, by the fault injection of the kernel. */
#ifndef RFS_FAULTS_H
#define RFS_FAULTS_H

#include <stdbool.h>

/*
 * Let allocations of all kinds be refused, also those that may wait for memory: of the thread that calls this.
 * 0, -ENOENT where the kernel cannot do that, or -errno.
 */
int faults_setup(void);
/* The same, but only those that may not wait for memory are refused. */
int faults_only_nowait(void);
/* Refuse the @nth allocation of this thread from now on, 1 or more. 0 or -errno. */
int faults_begin(int nth);
/* Refuse no more: 1 if one was refused since, 0 if not, or -errno. */
int faults_end(void);
/* The same, but how many were still to go. */
int faults_left(void);
/* The same for the threads of the kernel's workqueues, each on its own. */
int faults_begin_kworkers(int nth);
int faults_end_kworkers(void);

/*
 * From now on the slabs that bios, and what lies in front of them, come from refuse
 * everybody; only what mempools have in reserve is left. Or no more. 0, -ENOENT where the
 * kernel cannot do that, or -errno.
 */
int faults_refuse_bios(bool refuse);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that is refused, by the fault injection of the kernel. */
#ifndef RFS_FAULTS_H
#define RFS_FAULTS_H

/*
 * Let allocations of all kinds be refused, also those that may wait for memory.
 * 0, -ENOENT where the kernel cannot do that, or -errno.
 */
int faults_setup(void);
/* Refuse the @nth allocation of this thread from now on, 1 or more. 0 or -errno. */
int faults_begin(int nth);
/* Refuse no more: 1 if one was refused since, 0 if not, or -errno. */
int faults_end(void);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* How deep this CPU is in something that may be begun within itself. */
#ifndef _KFS_NESTED_H
#define _KFS_NESTED_H

/* Begin one more; the depth with it. The task stays on this CPU. Any context. */
unsigned int kfs_nested_enter(void);
void kfs_nested_exit(void);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that is not there until a test says so. */
#ifndef RFS_UFFD_H
#define RFS_UFFD_H

/* A page whose fault blocks until it is filled: what fills it, or -errno without userfaultfd(2). */
int unfilled_page(void **page);
/* 0 or -errno. */
int fill_page(int uffd, void *page, const void *from);

#endif

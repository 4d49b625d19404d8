// SPDX-License-Identifier: GPL-2.0
/* Labels of security modules. */
#include <linux/security.h>

/* The kernel crate has a function of the whole name, where that is none of a header. */
int kfs_helper_inode_init_security(struct inode *inode, struct inode *dir,
				   const struct qstr *qstr, initxattrs store, void *data)
{
	return security_inode_init_security(inode, dir, qstr, store, data);
}

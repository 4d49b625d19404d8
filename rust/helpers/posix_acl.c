// SPDX-License-Identifier: GPL-2.0
/* Access control lists. */
#include <linux/posix_acl.h>

void kfs_helper_posix_acl_release(struct posix_acl *acl)
{
	posix_acl_release(acl);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A policy for SELinux that allows everything, and says what label a new file gets. It is written here as
 * the kernel reads it, so that no compiler of policies is needed.
 */
#ifndef RFS_POLICY_H
#define RFS_POLICY_H

/* Of labels, what tells them apart: the type, by number. Zero is none. */
enum policy_type {
	POLICY_TASK = 1,	/* of all processes */
	POLICY_UNLABELED,	/* of files without one */
	POLICY_PARENT,		/* of directories whose new files get one of those that follow */
	POLICY_NEW_FILE,
	POLICY_NEW_DIR,
	POLICY_NEW_LINK,
	POLICY_NEW_CHR,
	POLICY_NEW_BLK,
	POLICY_NEW_FIFO,
	POLICY_NEW_SOCK,
	POLICY_NAMED,		/* of files that are called POLICY_NAME there */
	POLICY_OTHER,		/* of files, and directories: what is made there has the same */
	POLICY_ANOTHER,
	POLICY_TYPES = POLICY_ANOTHER,
};

#define POLICY_NAME	"a name of its own"

/* Load it, unless it is there. 0, -ENODEV where SELinux is not on, or -errno. */
int policy_load(void);
/* The label of files of a type, as the value of the attribute is (with the byte that ends it). */
const char *policy_label(enum policy_type type);
/* What new files of this thread get from now on, whatever the rules are; 0: by the rules. 0 or -errno. */
int policy_create_as(enum policy_type type);

#define POLICY_XATTR	"security.selinux"

#endif

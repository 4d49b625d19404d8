/* SPDX-License-Identifier: GPL-2.0 */
/* Loading kernel modules, and removing them. */
#ifndef RFS_MODULE_H
#define RFS_MODULE_H

/* Load the module of a file. 0 or -errno. */
int module_insert(const char *file);
/* Remove it by its name, at once or not at all. 0 or -errno. */
int module_remove(const char *name);

#endif

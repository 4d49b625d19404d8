/* SPDX-License-Identifier: GPL-2.0 */
/* Compare what was read with what may be there. */
#ifndef SOAK_CHECK_H
#define SOAK_CHECK_H

#include <stddef.h>

#include "model.h"

/*
 * The first sector of @buf (@len bytes of file offset @off, relative to its base)
 * that holds what it may not, or -1. @what says what it holds.
 */
long check_bytes(const struct file *f, const char *buf, uint64_t off, size_t len,
		 const struct may *may, char *what, size_t whatlen);

/* Say in words what 512 bytes are, wherever they come from. */
void check_describe(const char *sector, size_t len, char *what, size_t whatlen);

#endif

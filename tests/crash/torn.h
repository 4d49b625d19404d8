/* SPDX-License-Identifier: GPL-2.0 */
/* Writes of which the power leaves a part only. */
#ifndef CRASH_TORN_H
#define CRASH_TORN_H

#include <stdbool.h>

/*
 * Blocks of @bs bytes of metadata are written, of which only the first @cut bytes get to the disk. Is something lost by that
 * which was there before, and that nothing can keep? A name of which the end is missing: it lies across the end of a sector, in a
 * block that another driver has made.
 */
bool torn_for_good(const unsigned char *data, unsigned int cut, unsigned int bs);

#endif

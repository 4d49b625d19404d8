/* SPDX-License-Identifier: GPL-2.0 */
/* The one extended attribute that files and directories have: its value is a number, and long or short. */
#ifndef CRASH_ATTR_H
#define CRASH_ATTR_H

#include <stddef.h>
#include <stdint.h>

#define ATTR_NAME	"user.t"
#define ATTR_MAX	512

/* The value of @len bytes that is @number; not 0. */
void attr_fill(char *value, size_t len, unsigned int number);
/* The number that a value is, -1 if it is none. */
int attr_number(const char *value, size_t len);
/*
 * The same of the attribute in a list of entries from @at to @end, whose values are counted from
 * @values; 0 if there is none.
 */
int attr_of_entries(const unsigned char *at, const unsigned char *end, const unsigned char *values);

#endif

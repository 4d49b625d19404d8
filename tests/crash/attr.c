// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"

/* Places in an entry. */
enum { E_NAME_LEN = 0, E_NAME_INDEX = 1, E_VALUE_OFFS = 2, E_VALUE_SIZE = 8, E_NAME = 16 };
#define INDEX_USER	1

void attr_fill(char *value, size_t len, unsigned int number)
{
	int n = snprintf(value, len, "%u ", number);

	memset(value + n, 'a' + number % 26, len - n);
}

int attr_number(const char *value, size_t len)
{
	char want[ATTR_MAX], digits[16] = "";
	unsigned long number;

	memcpy(digits, value, len < sizeof(digits) ? len : sizeof(digits) - 1);
	number = strtoul(digits, NULL, 10);
	if (!number || len > sizeof(want))
		return -1;
	attr_fill(want, len, number);
	return memcmp(value, want, len) ? -1 : (int)number;
}

static uint32_t le(const unsigned char *at, int bytes)
{
	uint32_t v = 0;

	while (bytes--)
		v = v << 8 | at[bytes];
	return v;
}

int attr_of_entries(const unsigned char *at, const unsigned char *end, const unsigned char *values)
{
	static const char name[] = "t";

	while (at + E_NAME <= end && le(at, 4)) {
		uint32_t off = le(at + E_VALUE_OFFS, 2), len = le(at + E_VALUE_SIZE, 4);
		size_t size = (E_NAME + at[E_NAME_LEN] + 3) & ~3;

		if (at + size > end)
			return -1;
		if (at[E_NAME_INDEX] != INDEX_USER || at[E_NAME_LEN] != 1 || at[E_NAME] != name[0]) {
			at += size;
			continue;
		}
		if (off > end - values || len > end - values - off)
			return -1;
		return attr_number((const char *)values + off, len);
	}
	return 0;
}

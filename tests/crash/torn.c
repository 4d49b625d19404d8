// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "torn.h"

static unsigned int le(const unsigned char *at, int bytes)
{
	unsigned int v = 0;

	while (bytes--)
		v = v << 8 | at[bytes];
	return v;
}

/* A block of a directory with an entry that has bytes before and behind @cut. */
static bool has_entry_over(const unsigned char *block, unsigned int cut, unsigned int bs)
{
	enum { INODE = 0, REC_LEN = 4, NAME_LEN = 6, NAME = 8, LEAST = 12 };
	unsigned int at = 0, rec_len, end;
	bool over = false;

	while (at < bs) {
		rec_len = le(block + at + REC_LEN, 2);
		end = at + NAME + block[at + NAME_LEN];
		if (rec_len < LEAST || rec_len % 4 || at + rec_len > bs || end > at + rec_len)
			return false;
		if (le(block + at + INODE, 4) && at < cut && end > cut)
			over = true;
		at += rec_len;
	}
	return over;
}

bool torn_for_good(const unsigned char *data, unsigned int cut, unsigned int bs)
{
	const unsigned char *block = data + cut / bs * bs;

	if (cut % bs == 0)
		return false;
	return has_entry_over(block, cut % bs, bs);
}

// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "pattern.h"

#define WORDS		(PATTERN_SECTOR / sizeof(uint64_t))
#define MAGIC		0x7274727966730a01ULL

static const char poison[] = "POISON!\n";

struct stamp {
	uint64_t magic;
	uint64_t pos;
	uint64_t gen;
};

/* splitmix64: any change of position or generation changes every word. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static void sector_make(uint64_t *w, uint64_t pos, uint64_t gen)
{
	uint64_t seed = mix(pos ^ mix(gen));
	size_t i;

	w[0] = MAGIC;
	w[1] = pos;
	w[2] = gen;
	for (i = 3; i < WORDS; i++)
		w[i] = mix(seed + i);
}

void pattern_fill(void *buf, size_t len, uint64_t pos, uint64_t gen)
{
	uint64_t w[WORDS];
	char *p = buf;

	while (len) {
		size_t in = pos % PATTERN_SECTOR;
		size_t n = PATTERN_SECTOR - in;

		if (n > len)
			n = len;
		sector_make(w, pos - in, gen);
		memcpy(p, (char *)w + in, n);
		p += n;
		pos += n;
		len -= n;
	}
}

void poison_fill(void *buf, size_t len)
{
	char *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = poison[i % 8];
}

/* Poison is only looked for at multiples of its length, as it is laid out. */
bool has_poison(const void *buf, size_t len)
{
	const char *p = buf;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8)
		if (!memcmp(p + i, poison, 8))
			return true;
	return false;
}

bool pattern_stamped(const void *sector, uint64_t pos, uint64_t gen)
{
	struct stamp s;

	memcpy(&s, sector, sizeof(s));
	return s.magic == MAGIC && s.pos == pos && s.gen == gen;
}

/* Say what the sector around byte @at of the buffer holds. */
static void describe(char *out, size_t outlen, const char *buf, size_t len,
		     size_t at, uint64_t pos)
{
	size_t back = (pos + at) % PATTERN_SECTOR;
	struct stamp s;
	size_t i;

	for (i = at; i < len && i < at + 16 && !buf[i]; i++)
		;
	if (i == len || i == at + 16) {
		snprintf(out, outlen, "zeros");
		return;
	}
	if (has_poison(buf + (at & ~7UL), len - (at & ~7UL) > 8 ? 8 : 0)) {
		snprintf(out, outlen, "poison (a stale block)");
		return;
	}
	if (back <= at && at - back + sizeof(s) <= len) {
		memcpy(&s, buf + at - back, sizeof(s));
		if (s.magic == MAGIC) {
			snprintf(out, outlen, "generation %llu of offset %llu",
				 (unsigned long long)s.gen,
				 (unsigned long long)s.pos);
			return;
		}
	}
	snprintf(out, outlen, "byte %#04x of no known pattern",
		 (unsigned char)buf[at]);
}

const char *pattern_name(const void *sector, size_t len, uint64_t pos)
{
	static __thread char is[128];

	describe(is, sizeof(is), sector, len, 0, pos);
	return is;
}

static const char *first_diff(const char *p, const char *want, size_t len,
			      const char *buf, size_t buflen, uint64_t pos,
			      const char *what)
{
	static __thread char msg[256];
	char is[128];
	size_t i;

	for (i = 0; i < len && p[i] == want[i]; i++)
		;
	i += p - buf;
	describe(is, sizeof(is), buf, buflen, i, pos);
	snprintf(msg, sizeof(msg), "at offset %llu: wanted %s, found %s",
		 (unsigned long long)(pos + i), what, is);
	return msg;
}

const char *pattern_diff(const void *buf, size_t len, uint64_t pos, uint64_t gen)
{
	const char *p = buf;
	uint64_t w[WORDS];
	uint64_t at = pos;
	size_t left = len;

	while (left) {
		size_t in = at % PATTERN_SECTOR;
		size_t n = PATTERN_SECTOR - in;

		if (n > left)
			n = left;
		sector_make(w, at - in, gen);
		if (memcmp(p, (char *)w + in, n)) {
			char what[64];

			snprintf(what, sizeof(what), "generation %llu",
				 (unsigned long long)gen);
			return first_diff(p, (char *)w + in, n, buf, len, pos,
					  what);
		}
		p += n;
		at += n;
		left -= n;
	}
	return NULL;
}

const char *zero_diff(const void *buf, size_t len, uint64_t pos)
{
	static const char zeros[PATTERN_SECTOR];
	const char *p = buf;
	size_t left = len;

	while (left) {
		size_t n = left < sizeof(zeros) ? left : sizeof(zeros);

		if (memcmp(p, zeros, n))
			return first_diff(p, zeros, n, buf, len, pos, "zeros");
		p += n;
		left -= n;
	}
	return NULL;
}

const char *same_diff(const char *buf, const char *want, size_t len, off_t pos)
{
	static char msg[128];
	size_t i;

	if (!memcmp(buf, want, len))
		return NULL;
	for (i = 0; buf[i] == want[i]; i++)
		;
	snprintf(msg, sizeof(msg), "at offset %zu: %s%#04x instead of %#04x", (size_t)pos + i,
		 i + 8 <= len && has_poison(buf + (i & ~7UL), 8) ? "poison, " : "",
		 (unsigned char)buf[i], (unsigned char)want[i]);
	return msg;
}

bool untouched(const char *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len && buf[i] == (char)UNTOUCHED; i++)
		;
	return i == len;
}

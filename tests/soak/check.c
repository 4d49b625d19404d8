// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "pattern.h"
#include "check.h"

/* As pattern_fill() stamps it. */
struct stamp {
	uint64_t magic;
	uint64_t pos;
	uint64_t gen;
};

static bool all_zero(const char *p, size_t len)
{
	static const char zeros[SECTOR];

	return !memcmp(p, zeros, len);
}

void check_describe(const char *p, size_t len, char *what, size_t whatlen)
{
	struct stamp s = {};

	memcpy(&s, p, len < sizeof(s) ? len : sizeof(s));
	if (all_zero(p, len))
		snprintf(what, whatlen, "zeros");
	else if (len >= sizeof(s) && pattern_stamped(p, s.pos, s.gen))
		snprintf(what, whatlen, "gen %llx of offset %llu%s",
			 (unsigned long long)s.gen, (unsigned long long)s.pos,
			 len == SECTOR && pattern_diff(p, SECTOR, s.pos, s.gen) ?
				" (not all of it)" : "");
	else if (has_poison(p, len & ~7UL))
		snprintf(what, whatlen, "poison: a block that was never written");
	else
		snprintf(what, whatlen, "bytes %016llx %016llx %016llx",
			 (unsigned long long)s.magic, (unsigned long long)s.pos,
			 (unsigned long long)s.gen);
}

/* Every byte is the byte of some version. */
static bool mixed(const char *p, size_t in, size_t len, uint64_t pos,
		  const struct may *may)
{
	char version[SECTOR];
	bool ok[SECTOR] = {};
	size_t i;
	int k;

	for (k = 0; k < may->nr; k++) {
		pattern_fill(version, SECTOR, pos, may->gens[k]);
		for (i = 0; i < len; i++)
			ok[i] = ok[i] || p[i] == version[in + i];
	}
	for (i = 0; i < len; i++)
		if (!ok[i] && !(may->zero && !p[i]))
			return false;
	return true;
}

static bool is_any(const char *p, size_t in, size_t len, uint64_t pos,
		   const struct may *may)
{
	struct stamp s;

	/* Of parts and mixes nothing can be said. */
	if (in || len < SECTOR)
		return true;
	memcpy(&s, p, sizeof(s));
	if (pattern_stamped(p, pos, s.gen))
		return s.gen <= may->any;
	return !has_poison(p, len);
}

static bool sector_ok(const char *p, size_t in, size_t len, uint64_t pos,
		      const struct may *may)
{
	char version[SECTOR];
	struct stamp s;
	int k;

	if (may->all || (may->zero && all_zero(p, len)))
		return true;
	/* What it says it is comes first: that is right as a rule. */
	if (!in && len == SECTOR) {
		memcpy(&s, p, sizeof(s));
		for (k = 0; k < may->nr && may->gens[k] != s.gen; k++)
			;
		if (k < may->nr) {
			pattern_fill(version, SECTOR, pos, s.gen);
			if (!memcmp(p, version, SECTOR))
				return true;
		}
	}
	if (may->any && is_any(p, in, len, pos, may))
		return true;
	return mixed(p, in, len, pos, may);
}

long check_bytes(const struct file *f, const char *buf, uint64_t off, size_t len,
		 const struct may *may, char *what, size_t whatlen)
{
	uint64_t at = off;

	while (at < off + len) {
		size_t in = at % SECTOR;
		size_t n = SECTOR - in;
		const char *p = buf + (at - off);

		if (n > off + len - at)
			n = off + len - at;
		if (!sector_ok(p, in, n, f->base + at - in, may)) {
			check_describe(p, n, what, whatlen);
			return at / SECTOR;
		}
		may++;
		at += n;
	}
	return -1;
}

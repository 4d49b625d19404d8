/* SPDX-License-Identifier: GPL-2.0 */
/* The last operations, in a ring, to find out what went wrong. */
#ifndef SOAK_LOG_H
#define SOAK_LOG_H

#include "model.h"
#include "way.h"

struct log_extra {
	uint8_t thread;
	uint8_t way;
	uint8_t segments;
	uint32_t rwf;
};

uint32_t log_begin(const struct op *op, const struct log_extra *extra);
void log_end(const struct op *op, ssize_t res);
/* Those of file @f that meet the bytes, or change its size; and all under way. */
void log_print(const struct file *f, uint64_t off, uint64_t len);
/* All that were begun and have not ended. */
void log_print_open(void);
const char *log_kind(enum kind kind);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* What a call that has returned has made durable. */
#ifndef CRASH_PROMISE_H
#define CRASH_PROMISE_H

#include "model.h"

void promise(struct model *m, const struct step *st);

/* Of model.c: the name itself, NULL if its directory is not there. */
struct cell *model_cell(struct model *m, const char *path);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Pages that are pinned (pin_user_pages), anywhere in the machine. */
#ifndef RFS_PINS_H
#define RFS_PINS_H

#include <stdbool.h>

/* How many pins there are that were not given back; -errno. */
long pins_held(void);
/* Are there @held again? A ring unpins its memory a moment after it was closed. */
bool pins_return_to(long held);

#endif

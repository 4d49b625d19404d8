/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RFS_NET_H
#define RFS_NET_H

/* Have the loopback interface up. 0 or -errno. */
int loopback_up(void);

#endif

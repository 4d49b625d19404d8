#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# debugfs shows times before 1970 and after 2038 136 years late, and e2fsck takes 2312 for 1903.
#
# Inodes of 256 bytes have 34 bits for the seconds: a signed number of 32 bits, and two bits above it.
# "debugfs set_inode_field a mtime @-1000000000" (1938) stores the right bits, and "stat" and "ls -l" of
# debugfs show 2074; a time in 2038 is shown as 2174. Of one in 2312 e2fsck says that it is likely from before
# 1970: with -n it ends with 0, and with -p, as at boot, it clears the two bits, which leaves 1903, and
# ends with 1.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack root e2fsprogs=1.47.2-3+b12

# mtime SECONDS: stores it, and prints its bits, and the year that debugfs shows.
mtime() {
	inside root debugfs -w -R "set_inode_field a mtime @$1" /tmp/image 2> /dev/null
	shown
}
shown() { inside root debugfs -R "stat a" /tmp/image 2> /dev/null | sed -nE 's/^ *mtime: (\S+) .* ([0-9]{4})$/\1 \2/p'; }

inside root mke2fs -q -t ext2 -I 256 /tmp/image 4M
inside root debugfs -w -R "write /etc/mtab a" /tmp/image > /dev/null 2>&1
expect "a time in 2020" "0x5f5e1000:00000000 2020" "$(mtime 1600000000)"
expect "a time in 1938" "0xc4653600:00000000 2074" "$(mtime -1000000000)"
expect "a time in 2038" "0x80000000:00000001 2174" "$(mtime 2147483648)"
expect "status of e2fsck -f -p" 0 "$(status_of e2fsck -f -p /tmp/image)"

expect "a time in 2312" "0x83baec00:00000003 2448" "$(mtime 10800000000)"
expect "status of e2fsck -f -n" 0 "$(status_of e2fsck -f -n /tmp/image)"
expect "what it says" "Timestamp(s) on inode 12 beyond 2310-04-04 are likely pre-1970." "$(grep Timestamp "$tmp/out")"
expect "status of e2fsck -f -p" 1 "$(status_of e2fsck -f -p /tmp/image)"
expect "the time after it" "0x83baec00:00000000 2040" "$(shown)"

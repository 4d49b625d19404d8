#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Of some faults that e2fsck has left, its status says nothing; and of one not even that it has corrected it.
#
# The manual has 4 for errors that are left, and 1 for corrected ones. A wrong counter of free inodes of a group gives these. But a wrong
# counter of the whole volume, and the wrong checksum of a group descriptor (uninit_bg), are printed with -n, with "Fix? no" or
# "IGNORED", and the status is 0, that of a clean volume. The checksum has 0 with -y as well, and "FIXED". A kernel does not mount a
# volume with such a checksum read-write, so that "e2fsck -f -n && mount" can fail at the second.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack root e2fsprogs=1.47.2-3+b12

# check WHAT COMMAND: e2fsck's status for -f -n, and then for -f -y, after debugfs has done COMMAND; and how often it printed
# what is wrong.
check() {
	local left=0 corrected=0
	inside root mke2fs -q -t ext2 -O uninit_bg -b 1024 /tmp/image 8M
	inside root debugfs -w -R "$2" /tmp/image 2> /dev/null
	inside root e2fsck -f -n /tmp/image > "$tmp/left" 2>&1 || left=$?
	inside root e2fsck -f -y /tmp/image > "$tmp/corrected" 2>&1 || corrected=$?
	echo "$left, $corrected; $(grep -c "$1" "$tmp/left" || true), $(grep -c "$1" "$tmp/corrected" || true)"
}

expect "a counter of a group" "4, 1; 1, 1" "$(check 'count wrong for group' 'set_bg 0 free_inodes_count 5')"
expect "a counter of the volume" "0, 1; 1, 1" "$(check 'inodes count wrong (' 'set_super_value free_inodes_count 5')"
expect "a checksum" "0, 0; 1, 1" "$(check 'checksum is 0x0005, should be' 'set_bg 0 checksum 5')"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# mke2fs makes a volume of which e2fsck says that it has errors.
#
# With -O quota and -d, the files of the tree that is copied are in the volume, and not in its quota:
# this counts the root and lost+found only. e2fsck -fn ends with 4 for a volume that nobody has mounted
# yet. Without -d, or with the quota added by tune2fs afterwards, it ends with 0.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack root e2fsprogs=1.47.2-3+b12
mkdir "$tmp/root/tmp/tree"
echo content > "$tmp/root/tmp/tree/file"

# check IMAGE: e2fsck's status.
check() {
	local status=0
	inside root e2fsck -f -n "/tmp/$1" > "$tmp/out" 2>&1 || status=$?
	echo $status
}

inside root mke2fs -q -t ext2 -O quota -d /tmp/tree /tmp/both 8M
expect "e2fsck of -O quota -d" 4 "$(check both)"
expect "its reason" 2 "$(grep -c 'Update quota info for quota type [01]' "$tmp/out")"
expect "inodes counted by e2fsck, and by the quota" "actual (14336, 3) != expected (13312, 2)" \
	"$(sed -n 's/.*for ID 0://p' "$tmp/out" | sort -u)"

inside root mke2fs -q -t ext2 -O quota /tmp/quota 8M
expect "e2fsck of -O quota" 0 "$(check quota)"
inside root mke2fs -q -t ext2 -d /tmp/tree /tmp/later 8M
inside root tune2fs -O quota /tmp/later > /dev/null
expect "e2fsck of -d and tune2fs -O quota" 0 "$(check later)"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# "e2fsck -f -n" neither says that a volume was not unmounted cleanly, nor ends with another status.
#
# Without -f that is the reason to look at all, and is said: "was not cleanly unmounted, check forced". With -f there
# is another reason, and the state is not mentioned; nothing else being wrong, the status is 0. So the usual check of a
# snapshot or an image, e2fsck -fn, cannot tell whether it was taken of a volume that was frozen: dumpe2fs -h
# tells.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack root e2fsprogs=1.47.2-3+b12

# check OPTION...: its status, and how often it speaks of unmounting.
check() {
	local status=0
	inside root e2fsck "$@" /tmp/image > "$tmp/out" 2>&1 || status=$?
	echo "$status, $(grep -c 'not cleanly unmounted' "$tmp/out" || true)"
}

inside root mke2fs -q -t ext2 /tmp/image 4M
expect "a clean volume" "0, 0" "$(check -f -n)"
inside root debugfs -w -R "set_super_value state 0" /tmp/image 2> /dev/null
expect "the state" "not clean" "$(inside root dumpe2fs -h /tmp/image 2> /dev/null | sed -n 's/^Filesystem state: *//p')"
expect "e2fsck -n" "0, 1" "$(check -n)"
expect "e2fsck -f -n" "0, 0" "$(check -f -n)"

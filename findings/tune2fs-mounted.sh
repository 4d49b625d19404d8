#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A label keeps tune2fs from doing the rest of what it was asked for, if the volume is mounted.
#
# Behaviour on errors, reserved blocks and mount count are changed on a volume that ext4 has mounted:
# all three are there, at once and after umount. The same command with a label: the label is there, and
# the others are as they were. The status is 0 both times.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest e2fsprogs=1.47.2-3+b12
guest ext4 << 'END'
# show WHEN: a line of what tune2fs is to change.
show() {
	echo "$1: $(dumpe2fs -h /dev/vda 2> /dev/null |
		sed -nE 's/^(Filesystem volume|Maximum mount count|Reserved block count|Errors).*: *(.*)/\2/p' | xargs)"
}
for label in '' '-L some'; do
	mke2fs -q -F -t ext2 -b 4096 /dev/vda
	mount -t ext4 /dev/vda /mnt
	show "before"
	rc=0
	tune2fs $label -c 33 -m 2 -e remount-ro /dev/vda > /tmp/out 2>&1 || rc=$?
	echo "status of tune2fs ${label:-without label}: $rc"
	show "volume"
	umount /mnt
	show "volume after umount"
done
END
# label, behaviour on errors, reserved blocks, mount count
expect_said << 'END'
before: <none> Continue 5120 -1
status of tune2fs without label: 0
volume: <none> Remount read-only 2048 33
volume after umount: <none> Remount read-only 2048 33
before: <none> Continue 5120 -1
status of tune2fs -L some: 0
volume: some Continue 5120 -1
volume after umount: some Continue 5120 -1
END

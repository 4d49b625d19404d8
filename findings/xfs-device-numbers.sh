#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# On XFS there is no device with a major number above 511 or a minor one above 262,143: mknod(2) fails with EINVAL.
#
# Linux has 12 bits for the one, up to 4,095, and 20 for the other, up to 1,048,575. So what copies a tree with such a device
# (rsync, tar, cp -a) fails at that one, where ext4 takes it; and the errno is that of a wrong argument.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest xfsprogs=6.13.0-2+deb13u1 e2fsprogs=1.47.2-3+b12 coreutils=9.7-3
guest xfs ext4 << 'END'
mkdir /mnt/xfs /mnt/ext4
for fs in ext4 xfs; do
	mkfs.$fs /dev/vda > /tmp/out 2>&1
	mount -t $fs /dev/vda /mnt/$fs
	for number in '511 262143' '512 1' '1 262144' '4095 1048575'; do
		rc=0
		/usr/bin/mknod "/mnt/$fs/$number" b $number 2> /tmp/said || rc=$?
		echo "$fs, $number: $rc$(sed 's/.*:/,/' /tmp/said)"
	done
	umount /mnt/$fs
	dd if=/dev/zero of=/dev/vda bs=1M count=4 2> /dev/null
done
END
expect_said << 'END'
ext4, 511 262143: 0
ext4, 512 1: 0
ext4, 1 262144: 0
ext4, 4095 1048575: 0
xfs, 511 262143: 0
xfs, 512 1: 1, Invalid argument
xfs, 1 262144: 1, Invalid argument
xfs, 4095 1048575: 1, Invalid argument
END

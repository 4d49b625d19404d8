#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# On an ext2 volume of revision 0, ext4 takes a time after 2038, and gives back another century.
#
# An inode of 128 bytes has room for the years up to 2038. On a volume of revision 1 with such inodes
# ext4 cuts a later time down to that. On one of revision 0, which has no others, it takes the year 2050
# without an error and shows it, and when the inode is read again the file is of 1913.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest e2fsprogs=1.47.2-3+b12 coreutils
guest ext4 << 'END'
for how in '-I 128' '-E revision=0'; do
	mke2fs -q -F -t ext2 $how /dev/vda > /tmp/out 2>&1
	mount -t ext4 /dev/vda /mnt
	: > /mnt/file
	rc=0
	touch -d '2050-01-01 UTC' /mnt/file || rc=$?
	echo "status of touch: $rc"
	echo "$how, year: $(date -ur /mnt/file +%Y)"
	umount /mnt
	mount -t ext4 /dev/vda /mnt
	echo "$how, year after remount: $(date -ur /mnt/file +%Y)"
	umount /mnt
done
END
expect_said << 'END'
status of touch: 0
-I 128, year: 2038
-I 128, year after remount: 2038
status of touch: 0
-E revision=0, year: 2050
-E revision=0, year after remount: 1913
END

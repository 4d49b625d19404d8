#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# On a volume made for the Hurd, ext4 sets extended attributes that are gone after a remount.
#
# mke2fs -o hurd -I 256 is an ext2 whose creator is another system, and ext4 mounts it read-write.
# setxattr succeeds there and getxattr shows the attribute until umount. After the next mount it is not
# there; e2fsck finds nothing wrong in between. With -o linux, or with inodes of 128 bytes, it is kept.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest e2fsprogs=1.47.2-3+b12 attr
guest ext4 << 'END'
value() { getfattr --absolute-names --only-values -n user.name /mnt/file 2>&1 || :; }
for how in '-o linux -I 256' '-o hurd -I 128' '-o hurd -I 256'; do
	mke2fs -q -F -t ext2 $how /dev/vda > /tmp/out 2>&1
	mount -t ext4 /dev/vda /mnt
	: > /mnt/file
	rc=0
	setfattr -n user.name -v value /mnt/file || rc=$?
	echo "$how, status of setfattr: $rc"
	echo "$how, attribute: $(value)"
	umount /mnt
	rc=0
	e2fsck -f -n /dev/vda > /tmp/out 2>&1 || rc=$?
	echo "$how, status of e2fsck: $rc"
	mount -t ext4 /dev/vda /mnt
	echo "$how, attribute after remount: $(value)"
	umount /mnt
done
END
expect_said << 'END'
-o linux -I 256, status of setfattr: 0
-o linux -I 256, attribute: value
-o linux -I 256, status of e2fsck: 0
-o linux -I 256, attribute after remount: value
-o hurd -I 128, status of setfattr: 0
-o hurd -I 128, attribute: value
-o hurd -I 128, status of e2fsck: 0
-o hurd -I 128, attribute after remount: value
-o hurd -I 256, status of setfattr: 0
-o hurd -I 256, attribute: value
-o hurd -I 256, status of e2fsck: 0
-o hurd -I 256, attribute after remount: /mnt/file: user.name: No such attribute
END

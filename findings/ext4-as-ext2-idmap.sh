#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Whether owners can be mapped on a mount depends on the name by which the ext4 driver was asked for.
#
# Debian's kernel has no ext2 driver: ext4 registers the types ext2 and ext3 too. One volume made by mke2fs is
# mounted by each of the three names, each time by the same module, and then once more with owners mapped
# (mount_setattr(2), by X-mount.idmap of mount(8)). As ext4 that works; as ext2 it is EINVAL.
# As ext3 the volume needs a journal, and then it is EINVAL too.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest mount e2fsprogs=1.47.2-3+b12
guest ext4 << 'END'
mkdir /mapped
# The owner of a file of root, as the mount shows it that maps 0 to 10000; or what the kernel says.
owner() {
	if mount --bind -o X-mount.idmap=b:0:10000:100 /mnt /mapped 2> /said; then
		stat -c %u /mapped/file
		umount /mapped
	else
		sed 's/.*: //' /said | head -n 1
	fi
}
mkfs.ext2 -q /dev/vda
for type in ext4 ext2; do
	mount -t $type /dev/vda /mnt
	: > /mnt/file
	echo "$type, the owner that a mapped mount shows: $(owner)"
	umount /mnt
done
tune2fs -j /dev/vda > /dev/null 2>&1
for type in ext4 ext3; do
	mount -t $type /dev/vda /mnt
	echo "$type with a journal, the owner that a mapped mount shows: $(owner)"
	umount /mnt
done
echo "modules of these types: $(cut -d ' ' -f 1 /proc/modules | grep ext)"
END
expect_said << 'END'
ext4, the owner that a mapped mount shows: 10000
ext2, the owner that a mapped mount shows: Invalid argument.
ext4 with a journal, the owner that a mapped mount shows: 10000
ext3 with a journal, the owner that a mapped mount shows: Invalid argument.
modules of these types: ext4
END

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Inodes of an ext4 without a journal that were changed stay in memory after sync(2), until each is synced itself.
#
# With Linux 7.3.4 and ext4: 2000 files are made, and sync(2) writes them. Then the kernel is told to drop
# its caches of names and inodes. With a journal nearly all inodes go; without one nearly all of them stay: such an inode has a flag
# (I_METADATA_WRITEBACK) that says its buffer was written without waiting, which only a sync of the inode itself takes
# away, and reclaim passes over inodes that have any flag. After fsync(2) of each file they go as well.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest coreutils=9.7-3 e2fsprogs=1.47.2-3+b12 mount
guest ext4 << 'END'
kept() {
	before=$(awk '$1 == "ext4_inode_cache" { print $2 }' /proc/slabinfo)
	echo 3 > /proc/sys/vm/drop_caches
	echo 3 > /proc/sys/vm/drop_caches
	awk -v before="$before" '$1 == "ext4_inode_cache" { print (2 * $2 > before) ? "most stay" : "most go" }' /proc/slabinfo
}
mkdir -p /mnt
for journal in has_journal ^has_journal; do
	mkfs.ext4 -q -F -O $journal /dev/vda
	mount -t ext4 /dev/vda /mnt
	mkdir /mnt/d
	seq -f /mnt/d/%g 1 2000 | xargs touch
	sync
	echo "$journal, after sync: $(kept)"
	seq -f /mnt/d/%g 1 2000 | xargs sync
	echo "$journal, after fsync of each: $(kept)"
	umount /mnt
done
END
expect_said << 'END'
has_journal, after sync: most go
has_journal, after fsync of each: most go
^has_journal, after sync: most stay
^has_journal, after fsync of each: most go
END

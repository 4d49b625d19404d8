#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A volume that is frozen, as it is for a snapshot, is clean on the device if ext4 has a journal, and is not if it has none.
#
# With Linux 7.3.4 and ext4: a volume is mounted, written to, and frozen (FIFREEZE), which syncs all of it. The superblock says
# "clean" with a journal, and "not clean" without one: the state that mounting has cleared is not set again before the volume is unmounted. So e2fsck checks
# all of a snapshot of the latter, in which there is nothing wrong.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest coreutils=9.7-3 e2fsprogs=1.47.2-3+b12 mount util-linux
guest ext4 << 'END'
state() { dumpe2fs -h /dev/vda 2> /dev/null | awk -F: '/^Filesystem state/ { gsub(/^ +/, "", $2); print $2 }'; }
mkdir -p /mnt
for journal in has_journal ^has_journal; do
	mkfs.ext4 -q -F -O $journal /dev/vda
	mount -t ext4 /dev/vda /mnt
	echo text > /mnt/file
	fsfreeze -f /mnt
	echo "$journal, frozen: $(state)"
	fsfreeze -u /mnt
	umount /mnt
	echo "$journal, unmounted: $(state)"
done
END
expect_said << 'END'
has_journal, frozen: clean
has_journal, unmounted: clean
^has_journal, frozen: not clean
^has_journal, unmounted: clean
END

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A direct overwrite with RWF_NOWAIT has EAGAIN for the file's times, also with noatime, and of XFS and
# ext4 only XFS is cured by lazytime.
#
# The blocks are allocated and written, nothing of the file is in the page cache, and nobody else uses
# it: what RWF_NOWAIT is made for. But when the clock has moved on since the last change, the write
# would change the times of the inode, and the two do not do that without waiting. To try again
# does not help either, as the times stay as they are. With lazytime all writes succeed on XFS, and
# none on ext4. On f2fs they succeed as it is.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest xfsprogs=6.13.0-2+deb13u1 e2fsprogs=1.47.2-3+b12 f2fs-tools=1.16.0-1.1+b1
guest ext4 xfs f2fs << 'END'
# How many of five overwrites in a row have EAGAIN; and no other error.
refused() {
	nowait='pwrite -q -V 1 -N 4k 4k'
	xfs_io -d -c "$nowait" -c "$nowait" -c "$nowait" -c "$nowait" -c "$nowait" /mnt/file > /tmp/out 2>&1 || :
	[ -s /tmp/out ] || echo none
	uniq -c /tmp/out | sed 's/^ *//'
}
for how in 'xfs noatime' 'xfs lazytime' 'ext4 noatime' 'ext4 lazytime' 'f2fs noatime'; do
	case $how in
	xfs*) mkfs.xfs -q -f /dev/vda ;;
	ext4*) mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 /dev/vda ;;
	f2fs*) mkfs.f2fs -f /dev/vda > /dev/null ;;
	esac
	mount -t "${how% *}" -o "${how#* }" /dev/vda /mnt
	xfs_io -f -d -c 'pwrite -q 0 64k' -c fsync /mnt/file
	sleep 0.1 # the clock moves on
	echo "$how, errors of 5: $(refused)"
	umount /mnt
done
END
expect_said << 'END'
xfs noatime, errors of 5: 5 pwrite: Resource temporarily unavailable
xfs lazytime, errors of 5: none
ext4 noatime, errors of 5: 5 pwrite: Resource temporarily unavailable
ext4 lazytime, errors of 5: 5 pwrite: Resource temporarily unavailable
f2fs noatime, errors of 5: none
END

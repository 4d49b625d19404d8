#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A direct write with RWF_NOWAIT to a block device that is more than the device takes at once has EAGAIN each time, however idle
# the device is; the same write to a file of XFS on it succeeds.
#
# The block layer divides what is larger than max_sectors_kb, for any other request. One that must not wait it does not divide,
# but fails, as if the device had no room, though nothing else is in flight and it could be made at once. So who
# tries again never gets through; io_uring, which makes each request so first, has a worker thread make it. XFS gets through as
# iomap does not pass the flag on to the device, with which such a write may wait for room there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest xfsprogs=6.13.0-2+deb13u1 coreutils=9.7-3
guest xfs << 'END'
# How five writes of so much in a row end.
writes() {
	nowait="pwrite -q -V 1 -N -b $2 0 $2"
	xfs_io -d -c "$nowait" -c "$nowait" -c "$nowait" -c "$nowait" -c "$nowait" $1 > /tmp/out 2>&1 || :
	[ -s /tmp/out ] || echo all written
	uniq -c /tmp/out | sed 's/^ *//'
}
mkfs.xfs -q -f /dev/vda
mount -o lazytime /dev/vda /mnt
xfs_io -f -d -c 'pwrite -q -b 64k 0 64k' -c fsync /mnt/file
for limit in 64 32; do
	echo $limit > /sys/block/vda/queue/max_sectors_kb
	for size in 32k 64k; do
		echo "max_sectors_kb $limit, $size on XFS: $(writes /mnt/file $size)"
	done
done
umount /mnt
for limit in 64 32; do
	echo $limit > /sys/block/vda/queue/max_sectors_kb
	echo "max_sectors_kb $limit, 64k on the device: $(writes /dev/vda 64k)"
done
END
expect_said << 'END'
max_sectors_kb 64, 32k on XFS: all written
max_sectors_kb 64, 64k on XFS: all written
max_sectors_kb 32, 32k on XFS: all written
max_sectors_kb 32, 64k on XFS: all written
max_sectors_kb 64, 64k on the device: all written
max_sectors_kb 32, 64k on the device: 5 pwrite: Resource temporarily unavailable
END

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# A limit that is set for the requests of a device of device-mapper is not kept.
#
# With Linux 7.3.4: max_sectors_kb of a linear target takes the value 64, and shows it from then on. A direct read of 256 KiB goes
# on to the disk below in one piece all the same: device-mapper divides bios where its targets say so, and leaves
# what queues limit to the disks, which divide them by their own limits. When the same value is set for the disk, the same read is
# 16 requests there; and if the table is loaded again then, it is the limit of both.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest coreutils=9.7-3 dmsetup=2:1.02.205-2 util-linux
guest dm-mod << 'END'
disk=/sys/block/vda top=/sys/block/dm-0
completed() {
	set -- $(cat $disk/stat)
	echo $1
}
requests() {
	before=$(completed)
	dd if=/dev/dm-0 of=/dev/null bs=256K count=1 iflag=direct status=none
	echo $(($(completed) - before))
}
dmsetup create --noudevsync top --table "0 $(blockdev --getsz /dev/vda) linear /dev/vda 0"
echo 1024 > $disk/queue/max_sectors_kb
echo "neither is limited: $(requests) requests"
echo 64 > $top/queue/max_sectors_kb
echo "top has $(cat $top/queue/max_sectors_kb): $(requests) requests"
echo 64 > $disk/queue/max_sectors_kb
echo "the disk has $(cat $disk/queue/max_sectors_kb): $(requests) requests"
END
expect_said << 'END'
neither is limited: 1 requests
top has 64: 1 requests
the disk has 64: 4 requests
END

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# O_DIRECT on the kernel's ntfs is the page cache.
#
# Linux 7.3 has a driver "ntfs" that writes. It lets a file be opened with O_DIRECT, and takes
# requests of any alignment. But 8 MiB written so are in the page cache only: the device is not asked
# for a single write until somebody syncs, and reading them back with O_DIRECT reads nothing from it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest ntfs-3g=1:2022.10.3-5+deb13u3 coreutils
guest ntfs << 'END'
device() { awk '{ print $'"$1"' }' /sys/block/vda/stat; }
mkntfs -Q -q -F /dev/vda > /dev/null 2>&1
mount -t ntfs /dev/vda /mnt
dd if=/dev/zero of=/mnt/file bs=1M count=8 status=none
sync

writes=$(device 5)
dd if=/dev/zero of=/mnt/file bs=1M count=8 conv=notrunc oflag=direct status=none
echo "writes of the device for 8 MiB with O_DIRECT: $(($(device 5) - writes))"
sectors=$(device 7)
sync
echo "8 MiB or more written by sync: $(($(device 7) - sectors >= 16384))"
reads=$(device 1)
dd if=/mnt/file of=/dev/null bs=1M iflag=direct status=none
echo "reads of the device for them: $(($(device 1) - reads))"
rc=0
dd if=/mnt/file of=/dev/null bs=100 count=1 iflag=direct status=none || rc=$?
echo "status of a direct read of 100 bytes: $rc"
umount /mnt
END
expect_said << 'END'
writes of the device for 8 MiB with O_DIRECT: 0
8 MiB or more written by sync: 1
reads of the device for them: 0
status of a direct read of 100 bytes: 0
END

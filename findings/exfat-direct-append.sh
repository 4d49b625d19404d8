#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# exFAT keeps 32 direct writes in flight that make a file longer; ext4 and XFS make them one by one.
#
# 32 asynchronous writes of 64 KiB, by libaio at a queue depth of 32, to a disk that takes 50 ms for each
# request and any number at once. Overwrites are all in flight at once everywhere. Of a file that they
# make, ext4 and XFS finish one before the next one begins, queue depth or not: 32 times 50 ms.
# On exFAT this takes no longer than the overwrites.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest fio=3.39-1 jq e2fsprogs=1.47.2-3+b12 xfsprogs=6.13.0-2+deb13u1 \
	exfatprogs=1.2.9-1+deb13u1
guest null_blk ext4 xfs exfat nls_utf8 << 'END'
# How many of the 32 writes go to the disk at once: 32 times 50 ms, over the time that passed.
at_once() {
	ms=$(fio --name=writes --filename=/mnt/file --ioengine=libaio --direct=1 --rw=write --bs=64k \
		--size=2m --iodepth=32 --fallocate=none --output-format=json | jq '.jobs[0].write.runtime')
	if [ "$ms" -lt 400 ]; then echo 'more than 4'
	elif [ "$ms" -ge 1500 ]; then echo one
	else echo "$ms ms"
	fi
}
mount -t configfs config /sys/kernel/config
for fs in ext4 xfs exfat; do
	disk=/sys/kernel/config/nullb/$fs
	mkdir $disk
	echo 400 > $disk/size
	echo 1 > $disk/memory_backed
	echo 2 > $disk/irqmode
	echo 50000000 > $disk/completion_nsec
	echo 1 > $disk/power
	case $fs in
	ext4) mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/$fs ;;
	*) mkfs.$fs -q /dev/$fs ;;
	esac
	mount -t $fs /dev/$fs /mnt
	echo "$fs, writes that extend at once: $(at_once)"
	echo "$fs, overwrites at once: $(at_once)"
	umount /mnt
	echo 0 > $disk/power
	rmdir $disk
done
END
expect_said << 'END'
ext4, writes that extend at once: one
ext4, overwrites at once: more than 4
xfs, writes that extend at once: one
xfs, overwrites at once: more than 4
exfat, writes that extend at once: more than 4
exfat, overwrites at once: more than 4
END

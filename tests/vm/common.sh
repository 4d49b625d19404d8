# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts here assume of the guest they run in, in one place.
#
#   $ROOT/retryfs.ko   the module for the running kernel, not loaded
#   $ROOT/tests/       the kselftest programs, installed
#   $ROOT/fio/         the fio jobs
#   $ROOT/retryfs-top  the program of tools/top
#   $ROOT/flatfs.ko    the example of samples/
#   $ROOT/ext2.ko      the kernel's own ext2, as ext2-peer: for the stock kernel
#   $OUT               a directory that outlives the guest
#   $TEST_DEV          a disk that may be overwritten
#   tools: bash, coreutils, util-linux, kmod, e2fsprogs, fio, jq

ROOT=${RETRYFS_ROOT:-/retryfs}
# shellcheck disable=SC2034 # for those who read this file in
OUT=${RETRYFS_OUT:-/out}
export FSTYPE=${FSTYPE:-retryfs}
export TEST_DEV=${TEST_DEV:-/dev/vda}
export TEST_DIR=${TEST_DIR:-/mnt/retryfs}
export RETRYFS_KO=$ROOT/retryfs.ko
export RETRYFS_TOP=$ROOT/retryfs-top
export FLATFS_KO=$ROOT/flatfs.ko
export EXT2_KO=$ROOT/ext2.ko

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# Load the module; the modules that the tests themselves need, as far as there are.
load_modules()
{
	modprobe -qa dm-mod dm-delay ext4 loop || true
	[ "$FSTYPE" = retryfs ] || return 0
	grep -qw "$FSTYPE" /proc/filesystems && return 0
	insmod "$RETRYFS_KO" || die "cannot load $RETRYFS_KO"
}

# A new ext2 on the test disk, mounted.
make_and_mount()
{
	mkfs.ext2 -q -F "$@" "$TEST_DEV" || die "mkfs.ext2 failed"
	mkdir -p "$TEST_DIR"
	mount -t "$FSTYPE" "$TEST_DEV" "$TEST_DIR" ||
		die "cannot mount $TEST_DEV as $FSTYPE"
}

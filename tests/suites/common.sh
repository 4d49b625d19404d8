# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # by and for those who read this file in
#
# What the suites share in the guest.
#
#   $TEST_DEV, $SCRATCH_DEV  disks for volumes
#   $ROOT_DEV   a root with what a suite calls
#   $SUITE_DEV  the built suite, if it was built
#   $FSTYPE     retryfs, or another driver
#   $OPTIONS    of the mount
#   $MKFS_OPTIONS

# shellcheck source=/dev/null
. /retryfs/vm/common.sh
# shellcheck source=/dev/null
. /retryfs/vm/root.sh

root=/root/suite
summary=$OUT/summary

# enter_suite: make the root ready; the suite is /suite in it if it was built, and the volumes are mounted below /mnt.
enter_suite()
{
	enter_root
	mkdir -p "$root"/{suite,out,dev/shm,mnt/test,mnt/scratch,usr/lib/modules}
	[ -z "$SUITE_DEV" ] || mount -t ext4 "$SUITE_DEV" "$root/suite" || die "cannot mount $SUITE_DEV"
	mount --bind "$OUT" "$root/out"
	mount -t tmpfs tmpfs "$root/dev/shm"
	# The root is Debian's, and not of this kernel.
	mount --bind /usr/lib/modules "$root/usr/lib/modules"
	cp /retryfs/packaging/{mkfs,fsck}.retryfs "$root/usr/sbin/"
	ln -sfn /proc/self/mounts "$root/etc/mtab"
	hostname guest
	printf '127.0.0.1 localhost guest\n' > "$root/etc/hosts"
	ip link set lo up
	load_modules
	modprobe -q "$FSTYPE"
	# shellcheck disable=SC2086 # several words
	in_root mkfs -t "$FSTYPE" -- -q $MKFS_OPTIONS "$TEST_DEV" || die "mkfs.$FSTYPE failed"
}

# in_suite VARIABLE=VALUE... COMMAND...: in that root, with nothing of the rig's own environment.
in_suite()
{
	in_root /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SHELL=/bin/bash LC_ALL=C "$@"
}

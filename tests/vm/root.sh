# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # by those who read this file in
#
# A root with programs of Debian's packages (scripts/package-image), on the disk $ROOT_DEV, at $root. Sourced in the guest,
# behind common.sh.

ROOT_DEV=${ROOT_DEV:-/dev/disk/none}

# Programs of that root: they see what is below $root/vol as /vol.
in_root() { chroot "$root" "$@"; }

enter_root()
{
	mkdir -p "$root"
	mount -t ext4 "$ROOT_DEV" "$root" || die "cannot mount $ROOT_DEV"
	mount --bind /proc "$root/proc"
	mount --bind /dev "$root/dev"
	# MariaDB does not write its log past the page cache if it cannot ask here for the size of a sector.
	mount --rbind /sys "$root/sys"
	mount -t tmpfs tmpfs "$root/run"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
}

# kill_all: SIGKILL for all that runs in that root. Fails if nothing did. Of programs that are run one after the other it may
# miss all, each begun or gone while it looks: who runs them has to be in that root, too.
kill_all()
{
	local p found=1 killed=1
	# Who feeds them ends by that.
	while [ $found = 1 ]; do
		found=0
		for p in /proc/[0-9]*; do
			# The first takes no process, so that a pass is short. A root that is the same under another name is not meant.
			[ "$p/root" -ef "$root" ] || continue
			[ "$(readlink "$p/root" 2> /dev/null)" = "$root" ] || continue
			[ "$(sed -n 's/^State:\t\(.\).*/\1/p' "$p/status" 2> /dev/null)" != Z ] || continue
			kill -KILL "${p#/proc/}" 2> /dev/null
			found=1 killed=0
		done
		[ $found = 0 ] || sleep 0.1
	done
	rm -rf "$root"/run/*
	return $killed
}

# wait_for SECONDS WHAT COMMAND...: until it succeeds.
wait_for()
{
	local end=$((SECONDS + $1)) what=$2
	shift 2
	while ! "$@" > /dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "$what: it takes too long"
		sleep 0.2
	done
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the clients share. Sourced in the guest by run, which sources the clients too. Each has these functions, of
# which CLIENT is the name, and "how" what it is called with:
#
#   CLIENT_setup     make what it works on, in $dir, durable when it returns
#   CLIENT_start     start its server, if it has one, which repairs what a crash has left
#   CLIENT_write N   write unit N + 1 and so on until somebody kills it; a line for each one that it was told is
#                    durable goes to $acks. A unit is a row, or some requests at once
#   CLIENT_verify N  the units up to N are there, as they were written
#   CLIENT_check     its own checker is content
#   CLIENT_stop      end the server

# shellcheck source=/dev/null
. /retryfs/vm/common.sh

# shellcheck disable=SC2034 # for those who read this file in
root=/clients
ROOT_DEV=${ROOT_DEV:-/dev/disk/none}

# Programs of the root with the clients: they see the volume as /vol.
in_root() { chroot $root "$@"; }
say() { printf '==> %s: %s\n' "$FSTYPE" "$*"; }

enter_root()
{
	mkdir -p $root
	mount -t ext4 "$ROOT_DEV" $root || die "cannot mount $ROOT_DEV"
	mount --bind /proc $root/proc
	mount --bind /dev $root/dev
	# MariaDB does not write its log past the page cache if it cannot ask here for the size of a sector.
	mount --bind /sys $root/sys
	mount -t tmpfs tmpfs $root/run
	mount -t tmpfs -o mode=1777 tmpfs $root/tmp
}

# kill_all: SIGKILL for all that runs in the root of the clients.
kill_all()
{
	local p found=1
	# Who feeds them ends by that.
	while [ $found = 1 ]; do
		found=0
		for p in /proc/[0-9]*; do
			[ "$(readlink "$p/root" 2> /dev/null)" = $root ] || continue
			[ "$(sed -n 's/^State:\t\(.\).*/\1/p' "$p/status" 2> /dev/null)" != Z ] || continue
			kill -KILL "${p#/proc/}" 2> /dev/null
			found=1
		done
		[ $found = 0 ] || sleep 0.1
	done
	rm -rf $root/run/*
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

# shellcheck disable=SC2154 # by run
# A list that grows meanwhile may make wc complain; what it has counted until then is there.
acked()
{
	if [ -e "$acks" ]; then wc -l < "$acks" 2> /dev/null; else echo 0; fi
}
has_acked() { [ "$(acked)" -ge "$1" ]; }

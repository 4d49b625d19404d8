# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # by and for run
#
# What the devices share. Sourced in the guest by run, which sources the devices too. Each has these functions, of which
# DEVICE is the name:
#
#   DEVICE_up        make the device, out of the disks in ${disks[@]}; its node is in $dev then
#   DEVICE_down      take it apart
#   DEVICE_again     make it anew, for each try (where that is needed)
#   DEVICE_check     the device itself has nothing to complain about, unmounted (where there is such a thing)
#   DEVICE_faults    what can go wrong with it, as words; for each of them:
#   DEVICE_WORD      make it go wrong, and mend it, in the midst of a load (see writing)
#   DEVICE_alone     the same, for those that are tried without a load, as writes fail
#   DEVICE_give_up   end what these have begun, when one has failed (where there is such a thing)
#
# and $DEVICE_words: what the kernel may say of it, as an extended regular expression. Anything else that is a warning, or
# worse, is a failure, and so is any line of retryfs.

# shellcheck source=/dev/null
. /retryfs/vm/common.sh
# shellcheck source=/dev/null
. /retryfs/vm/root.sh

root=/devices

say() { printf '==> %s\n' "$*"; }

# A function that cannot go on says why, for the result of what is being tried, and ends that.
no()
{
	echo "$*" >> /tmp/why
	exit 1
}

# One that can go on does so, to see what else is wrong: nothing_wrong is where it ends then.
wrong()
{
	echo "$*" >> /tmp/why
	{ echo "$*:" && cat /tmp/log; } >> /tmp/wrong
}
nothing_wrong()
{
	[ -e /tmp/why ] || return 0
	mv /tmp/wrong /tmp/log
	exit 1
}
why() { awk 'NR > 1 { printf "; " } { printf "%s", $0 }' /tmp/why; }

# written: how many direct writes were asked of the volume since it was mounted.
written() { cat "/sys/fs/retryfs/$(basename "$(readlink -f "$dev")")/requests_write"; }

loads() { kill -0 "$load" 2> /dev/null; }

# writing: come back when the load has had 50 more writes, in the midst of its work.
writing()
{
	local until
	until=$(($(written) + 50))
	while [ "$(written)" -lt "$until" ]; do
		loads || no "the load had ended before"
		sleep 0.02
	done
}

# until_true SECONDS WHAT COMMAND...: wait for a state of a device that nothing else tells.
until_true()
{
	local end=$((SECONDS + $1)) what=$2
	shift 2
	while ! "$@" > /dev/null 2>&1; do
		[ $SECONDS -lt $end ] || no "$what: it takes too long"
		sleep 0.1
	done
}
holds() { [ "$(cat "$1")" = "$2" ]; }

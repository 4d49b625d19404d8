# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # by those who read this file in
#
# A disk that can be slow, $slow, on one that is not, $slow_disk, and how many writes it has at once. Sourced in the guest.

slow_table() { echo "0 $(blockdev --getsz "$slow_disk") delay $slow_disk 0 $1 $slow_disk 0 $2"; }
slow_on() {
	dmsetup create "${slow##*/}" --table "$(slow_table 0 0)"
	slow_name=dm-$(dmsetup info -c --noheadings -o minor "${slow##*/}")
}

# slow_down READ-MS WRITE-MS: how long it takes from now on.
slow_down() {
	dmsetup reload "${slow##*/}" --table "$(slow_table "$1" "$2")"
	dmsetup suspend --nolockfs "${slow##*/}"
	dmsetup resume "${slow##*/}"
}

slow_off() { dmsetup remove "${slow##*/}"; }

# How many milliseconds all of its writes took together until now, and in how many it had some.
slow_times() { awk '{ print $8, $10 }' "/sys/block/$slow_name/stat"; }

# in_flight TIMES: how many writes it had at once since the slow_times that are given, as a mean of the time in which it had
# some, rounded.
in_flight() {
	slow_times | awk -v before="$1" '{ split(before, b); ms = $2 - b[2]; printf "%.0f", ms ? ($1 - b[1]) / ms : 0 }'
}

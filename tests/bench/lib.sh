# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # for those who read this file in
#
# What the programs of the benchmark share. Sourced in the guest.

# shellcheck source=/dev/null
. /retryfs/vm/slow.sh

results=/out/results
disk=/dev/nullb0
slow_disk=$disk
slow=/dev/mapper/slow
# How long it takes for a write.
slow_ms=100
mnt=/mnt/bench
# xfs wants 300 at least.
disk_mib=400
# In the middle of ext2's double indirect blocks, and well in memory.
size_mib=64

say() { printf 'bench: %s\n' "$*"; }

# fact WHAT NAME=VALUE...: one result.
fact() {
	local what=$1 arg args=()
	shift
	for arg; do args+=(--arg "${arg%%=*}" "${arg#*=}"); done
	# Numbers are numbers.
	jq -nc --arg what "$what" "${args[@]}" '$ARGS.named | map_values(tonumber? // .)' >> "$results"
}

# device_on inline|interrupt [SECTOR-SIZE [sparse|cache]]: a disk in memory, all of it written once, if it is not to be
# sparse. Its sectors are as large as a page if nothing else is asked for, since the driver copies sector by sector.
# With a cache, that is volatile, cannot be written through, and has room for all that is written.
device_on() {
	local dir=/sys/kernel/config/nullb/nullb0 irqmode=0
	[ "$1" = inline ] || irqmode=2
	mkdir "$dir"
	echo 1 > "$dir/memory_backed"
	echo "${2:-4096}" > "$dir/blocksize"
	echo "$disk_mib" > "$dir/size"
	echo $irqmode > "$dir/irqmode"
	# Longer than what is left of a submission then.
	echo 10000 > "$dir/completion_nsec"
	if [ "${3:-}" = cache ]; then
		echo "$disk_mib" > "$dir/cache_size"
		echo 0 > "$dir/fua"
	fi
	echo 1 > "$dir/power"
	[ -n "${3:-}" ] || dd if=/dev/zero of="$disk" bs=1M count="$disk_mib" oflag=direct 2>/dev/null
}

device_off() { rmdir /sys/kernel/config/nullb/nullb0; }

# More options of mke2fs for a volume of ext2.
mkfs_options=()

# make_fs TARGET: a filesystem on the disk. ext4-volume is ext4 on a volume of ext2; what ends in -linear
# is on one without indexed directories. Nothing is left to be done in the background.
make_fs() {
	case $1 in
	ext2 | retryfs | retryfs-async | ext4-volume) mke2fs -q -t ext2 -E nodiscard "${mkfs_options[@]}" "$disk" ;;
	*-linear) mke2fs -q -t ext2 -O ^dir_index -E nodiscard "${mkfs_options[@]}" "$disk" ;;
	ext4) mke2fs -q -t ext4 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$disk" ;;
	xfs) mkfs.xfs -q -f -K "$disk" ;;
	btrfs) mkfs.btrfs -q -f -K "$disk" ;;
	exfat) mkfs.exfat -q "$disk" ;;
	esac
}

# can_make TARGET: whether there is such a filesystem, and what makes it.
can_make() { modprobe -q "$1" && command -v "mkfs.$1" > /dev/null; }

# type_of TARGET: its type for mount(8). The kernel's own ext2 goes by another name, see scripts/peer-ext2.
type_of() {
	case $1 in
	ext2) echo ext2-peer ;;
	*) echo "${1%%-*}" ;;
	esac
}

# mount_fs TARGET DEVICE
mount_fs() {
	local options=defaults
	[ "$1" != retryfs-async ] || options=async_alloc
	mkdir -p $mnt
	mount -t "$(type_of "$1")" -o "$options" "$2" $mnt
}

# file_of TARGET: what fio works on.
file_of() {
	if [ "$1" = raw ]; then echo "$disk"; else echo $mnt/file; fi
}

# fill: the file, allocated and written.
fill() { dd if=/dev/zero of=$mnt/file bs=1M count=$size_mib oflag=direct conv=fsync 2>/dev/null; }

# prepare TARGET: make, mount and fill a filesystem, if it is one.
prepare() {
	[ "$1" != raw ] || return 0
	make_fs "$1"
	mount_fs "$1" "$disk"
	fill
}

unprepare() { [ "$1" = raw ] || umount $mnt; }

# fio_json ARGUMENT...: run fio, print its result as JSON; tell what it said if it fails.
fio_json() {
	if ! fio --output-format=json --output=/tmp/fio.json "$@" > /tmp/fio.out 2>&1; then
		cat /tmp/fio.out /tmp/fio.json >&2
		return 1
	fi
	# Before the JSON there may be a remark.
	sed -n '/^{/,$p' /tmp/fio.json
}

# load TARGET JOB FIO-ARGUMENT...: run it on the slow disk for two seconds, and tell how many of its writes were in
# flight: the mean of all the time.
load() {
	local target=$1 job=$2 before after ms
	shift 2
	before=$(slow_times)
	ms=$(fio_json --name="$job" --direct=1 --thread --bs=4k --time_based --runtime=2 --group_reporting "$@" |
		jq '.jobs[0].write.runtime')
	after=$(slow_times)
	fact inflight "target=$target" "job=$job" \
		"mean=$(awk -v busy=$((${after% *} - ${before% *})) -v ms="$ms" 'BEGIN { printf "%.1f", busy / ms }')"
}

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# While a disk is busy with a flush of its cache, /sys/block/*/inflight says that it has no request.
#
# With Linux 7.3.4, and any disk that is driven by requests (blk-mq): the file counts what the driver has of the requests that take part
# in the statistics, and the request that blk-flush.c makes for a flush is none of these, whereas the one of the caller waits for it and
# is not with the driver. So who looks there for whether a disk is idle takes one for idle whose flush takes seconds. The ninth
# number of /sys/block/*/stat, by the documentation the same thing, counts the caller's request from when it was made: there the flush is
# seen. Here a disk takes two seconds for everything.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest coreutils mount
guest null_blk << 'END'
mount -t configfs config /sys/kernel/config 2> /dev/null || true
disk=/sys/kernel/config/nullb/slow
mkdir $disk
# irqmode 2: requests end by a timer
for set in size=64 memory_backed=1 cache_size=16 irqmode=2 completion_nsec=2000000000; do
	echo ${set#*=} > $disk/${set%=*}
done
echo 1 > $disk/power
until [ -b /dev/slow ]; do sleep 0.1; done

# during WHAT COMMAND...: what the two files say until it ends.
during() {
	what=$1
	shift
	"$@" &
	: > /tmp/inflight
	: > /tmp/stat
	while kill -0 $! 2> /dev/null; do
		cat /sys/block/slow/inflight >> /tmp/inflight
		cat /sys/block/slow/stat >> /tmp/stat
		sleep 0.1
	done
	wait $!
	echo "$what, most in inflight: $(while read -r r w; do echo $((r + w)); done < /tmp/inflight | sort -n | tail -n 1)"
	echo "$what, most in stat: $(while read -r _ _ _ _ _ _ _ _ n _; do echo $n; done < /tmp/stat | sort -n | tail -n 1)"
}
before=$(set -- $(cat /sys/block/slow/stat); echo ${16})
during "a write" dd if=/dev/zero of=/dev/slow bs=4k count=1 oflag=direct status=none
during "a flush" sync /dev/slow
echo "flushes: $(($(set -- $(cat /sys/block/slow/stat); echo ${16}) - before))"
END
expect_said << 'END'
a write, most in inflight: 1
a write, most in stat: 1
a flush, most in inflight: 0
a flush, most in stat: 1
flushes: 1
END

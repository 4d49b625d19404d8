#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# null_blk's volatile cache does not lose what was overwritten: a test of power loss on it passes too easily.
#
# With memory_backed and cache_size, a disk of null_blk says that it has a write-back cache, which it drops when
# its power attribute is set to 0: what was written and not flushed is gone then. That holds for pages that have never
# been flushed. Once a page has been, later writes to it go past the cache, to what stays: they are there after the
# power was off, though no flush has followed them. So a filesystem or a database that forgets to flush its
# overwrites, of a log or of metadata that is in place, loses nothing there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest coreutils=9.7-3
guest null_blk << 'END'
disk=/sys/kernel/config/nullb/disk
# put PAGE LETTER [OPTION]...: one page of it, past the page cache.
put() {
	page=$1 letter=$2
	shift 2
	head -c 4096 /dev/zero | tr '\0' "$letter" | dd of=/dev/disk bs=4096 count=1 seek="$page" oflag=direct "$@" 2> /dev/null
}
has() { dd if=/dev/disk bs=4096 count=1 skip="$1" iflag=direct 2> /dev/null | head -c 1 | tr '\0' -; }

mount -t configfs config /sys/kernel/config
mkdir $disk
echo 16 > $disk/size
echo 1 > $disk/memory_backed
echo 4 > $disk/cache_size
echo 1 > $disk/power
echo "its cache: $(cat /sys/block/disk/queue/write_cache)"
put 0 a conv=fsync
put 0 b
put 1 b
echo "written twice, before: $(has 0)"
echo "written once, before: $(has 1)"
echo 0 > $disk/power
echo 1 > $disk/power
echo "flushed, overwritten and not flushed, after: $(has 0)"
echo "written and not flushed, after: $(has 1)"
END
expect_said << 'END'
its cache: write back
written twice, before: b
written once, before: b
flushed, overwritten and not flushed, after: b
written and not flushed, after: -
END

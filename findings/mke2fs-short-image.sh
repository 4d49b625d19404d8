#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# mke2fs makes an image that ends in the middle of its own volume.
#
# Asked for a new file of 60 KiB, mke2fs ends with 0 and without a word, and leaves a file of 23 KiB.
# (One of 128 KiB is as long as its volume.) e2fsck -p then finds the volume larger than its device,
# and gives up with status 4; but e2fsck -n, which finds the same, ends with 0, as for a volume in
# order. After truncate(1) to the full size all is well.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack root e2fsprogs=1.47.2-3+b12

expect "status of mke2fs 60K" 0 "$(status_of mke2fs -q -t ext2 /tmp/image 60K)"
expect "what it says" "" "$(grep -v '^$' "$tmp/out" || true)"
expect "bytes of the file" 23552 "$(stat -c %s "$tmp/root/tmp/image")"

expect "status of e2fsck -f -p" 4 "$(status_of e2fsck -f -p /tmp/image)"
expect "its reason" "The physical size of the device is 23 blocks" "$(grep physical "$tmp/out")"
expect "status of e2fsck -f -n" 0 "$(status_of e2fsck -f -n /tmp/image)"
expect "what that says" "The physical size of the device is 23 blocks" "$(grep physical "$tmp/out")"

truncate -s 60K "$tmp/root/tmp/image"
expect "status of e2fsck -f -p, at full length" 0 "$(status_of e2fsck -f -p /tmp/image)"

expect "status of mke2fs 128K" 0 "$(status_of mke2fs -q -t ext2 /tmp/larger 128K)"
expect "bytes of that file" 131072 "$(stat -c %s "$tmp/root/tmp/larger")"

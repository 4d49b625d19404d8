# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which cases of a program are run. RIG_KERNEL is the kernel, stock or debug; with RIG_LIST those that
# a file here names are (quick: of `make quick`). Needs nothing but the directory it is in: the guest has it, and scripts/cases.

filter_dir=$(dirname "${BASH_SOURCE[0]}")

# The options of the harness for a program.
filter_of()
{
	if [ -n "${RIG_LIST:-}" ]; then
		sed -n "s/^$1  *//p" "$filter_dir/$RIG_LIST"
		return
	fi
	# The debug kernel takes ten times as long, and looks for what does not depend on the size of blocks.
	[ "${RIG_KERNEL:-}" = debug ] || return
	# The random test and the floods are short; the last one knows one size only.
	case $1 in dio_soak | dio_flood | flood | umount_busy) return ;; esac
	printf ' -V %s' large_inodes bs2k bs4k bs4k_is128 s2048_bs4k null_blk_bs4k pages_bs2k scsi_s512_bs2k scsi_s4096_bs4k
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
#
# The load: fio's direct writes by Linux' native AIO and by io_uring, at once: over blocks that are there, small and
# large ones out of memory at odd places, behind the end of a file, and to holes. As often as it takes, in a directory
# for each time. load_reads verifies what is there then.

load_enough=/tmp/enough

load_jobs() # DIRECTORY
{
	cat <<-END
		[global]
		directory=$1
		direct=1
		fallocate=none
		verify=crc32c
		verify_fatal=1
		verify_interval=4096
		verify_header_seed=0
		verify_write_sequence=0

		[overwrite]
		filename=overwrite
		rw=randwrite
		bs=4k
		size=2M
		ioengine=libaio
		iodepth=16

		[large]
		filename=large
		rw=randwrite
		bs=512k
		size=4M
		ioengine=libaio
		iodepth=4
		iomem_align=512

		[append]
		filename=append
		rw=write
		bs=16k
		size=4M
		ioengine=io_uring
		iodepth=8

		[holes]
		filename=holes
		rw=randwrite
		bs=4k
		size=2M
		ioengine=io_uring
		iodepth=16
	END
}

# load_files DIRECTORY: what the load writes over.
load_files()
{
	local f
	mkdir "$1"
	for f in overwrite:2 large:4; do
		dd if=/dev/zero of="$1/${f%:*}" bs=1M count="${f#*:}" conv=fsync status=none || return 1
	done
	truncate -s 2M "$1/holes"
}

# load_writes: until there is $load_enough.
load_writes()
{
	local n=0
	# nvme-tcp sends in the task of who writes, without MSG_NOSIGNAL: that gets the signal when the connection is cut.
	trap '' PIPE
	rm -f $load_enough
	while [ ! -e $load_enough ]; do
		n=$((n + 1))
		load_files "$TEST_DIR/$n" || return 1
		load_jobs "$TEST_DIR/$n" > /tmp/writes.fio
		fio --eta=never --do_verify=0 --output=/tmp/load.writes /tmp/writes.fio || return 1
	done
}

# load_reads DIRECT: by direct reads (1), or through the page cache (0).
load_reads()
{
	local dir
	for dir in "$TEST_DIR"/[0-9]*; do
		[ -d "$dir" ] || continue
		(load_jobs "$dir" | sed "s/^direct=.*/direct=$1/") > /tmp/reads.fio
		fio --eta=never --verify_only --output=/tmp/load.reads /tmp/reads.fio || return 1
	done
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # by and for those who read this file in
#
# What scripts/xfstests, scripts/ltp and scripts/stress-ng share: a suite of others is run in a guest. One of which the user has
# a checkout is copied before, and built with Debian's packages. Sourced behind lib.sh, never run.

# To build them, and what their tests call.
suite_packages=acct,acl,attr,autoconf,automake,bc,bison,bsdextrautils,ca-certificates,dmsetup,e2fsprogs,file,fio,flex,gawk,gcc,hostname
suite_packages+=,keyutils,kmod,libacl1-dev,libaio-dev,libattr1-dev,libc6-dev,libcap-dev,libcap2-bin,libgdbm-dev,libssl-dev
suite_packages+=,libtool,libtool-bin,liburing-dev,lvm2,m4,make,perl,pkgconf,procps,psmisc,python3-minimal,quota
suite_packages+=,sqlite3,util-linux-extra,uuid-dev,uuid-runtime,xfsdump,xfslibs-dev,xfsprogs,xz-utils

# find_source SUITE FILE...: say what is wrong with SRC if it is no checkout of the suite, which has these files.
find_source() {
	local suite=$1 file
	shift
	[ -n "${SRC:-}" ] || die "there is no SRC: make $suite SRC=/path has $suite from a checkout of yours"
	[ -d "$SRC" ] || die "SRC=$SRC is no directory"
	for file; do
		[ -e "$SRC/$file" ] || die "SRC=$SRC is no checkout of $suite: there is no $file in it"
	done
	src=$(cd "$SRC" && pwd -P)
}

# The root with the packages: to build in, and the image of it for the guest.
suite_root() { "$scripts/package-image" -k suites "$RETRYFS_SUITE" "$suite_packages"; }
in_suite_root() { RETRYFS_ROOT=$image/root "$scripts/in-buildroot" "$@"; }

# build_suite SUITE COMMAND: the image of a disk with what COMMAND, a script with the copy of the checkout as its argument
# and directory, leaves in that copy, in $disk. It is named after all that is in the checkout, to which nothing is written.
build_suite() {
	local suite=$1 dir
	dir=$cache/suites/$suite-$(key "$(find "$src" -name .git -prune -o -type f -printf '%P %s %T@\n' | LC_ALL=C sort)" \
		"$2" "$image")
	make_once "$dir" copy_and_build "$suite" "$2"
	disk=$dir/$suite.img
}
# shellcheck disable=SC2317 # by make_once
copy_and_build() {
	local suite=$1
	need_space "$cache" 3000 "a copy of $suite"
	"$scripts/in-buildroot" -b "$src:/mnt" rsync -a --exclude=.git /mnt/ "$tmp/copy/"
	step "building $suite" logged "$cache/$suite.log" in_suite_root bash -euc "$2" "$suite" "$tmp/copy" ||
		die "$suite does not build: $cache/$suite.log has all that was printed"
	"$scripts/in-buildroot" mke2fs -q -t ext4 -O ^has_journal -d "$tmp/copy" "$tmp/$suite.img" \
		"$(($(du -sm "$tmp/copy" | cut -f 1) * 3 / 2 + 256))M"
	remove_tree "$tmp/copy"
}

# suite_guest SUITE VARIABLE=VALUE...: run tests/suites/SUITE in a guest, with the root $image, and $disk if it was built; its
# status in rc, and what it left in $out.
suite_guest() {
	local suite=$1 kind=${KERNEL:-stock} payload options
	shift
	payload=$("$scripts/payload" "$kind")
	mapfile -t options <<< "$payload"
	out=$cache/log/$suite-$(key "$checkout")
	lock "$suite-$(key "$checkout")"
	rm -rf "$out"
	mkdir -p "$out"
	run "$scripts/vm" "${options[@]}" -a "$checkout/tests/suites=/retryfs/suites" -a "$checkout/packaging=/retryfs/packaging" \
		-d "${SIZE:-3G}" -d "${SIZE:-3G}" -r "$image/root.img" ${disk:+-r "$disk"} -m 2048 -t "${RETRYFS_TIMEOUT:-14400}" -o "$out" \
		"$kind" env RIG_KERNEL="$kind" FSTYPE="${FS:-retryfs}" OPTIONS="${OPTIONS:-}" MKFS_OPTIONS="${MKFS_OPTIONS:-}" \
		TEST_DEV=/dev/vda SCRATCH_DEV=/dev/vdb ROOT_DEV=/dev/vdc SUITE_DEV="${disk:+/dev/vdd}" "$@" "/retryfs/suites/$suite"
}

# suite_summary: count $out/summary, lines of "passed", "failed" or "notrun" and a test; the verdict.
suite_summary() {
	local passed failed notrun
	touch "$out/summary"
	count() { grep -c "^$1 " "$out/summary" || true; }
	passed=$(count passed) failed=$(count failed) notrun=$(count notrun)
	say "    results and messages are in $out"
	[ "$rc" = 0 ] || say "the guest ended with status $rc"
	sed -n 's/^failed /failed: /p' "$out/summary"
	echo "$passed passed, $failed failed, $notrun not run"
	[ "$rc" = 0 ] && [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

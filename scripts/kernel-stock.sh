# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by scripts/kernel, which sets these: shellcheck cannot see it.
# shellcheck disable=SC2154

# stock: Debian's kernel as it is, with the Rust metadata that its header package lacks (rust-metadata).

# shellcheck disable=SC2034 # for scripts/kernel
fragments=("$scripts/rust-metadata")

# What the packages in $from have.
unpack_stock() {
	# shellcheck disable=SC2016
	in_root sh -euc 'cd "$2"
		for deb in "$1"/linux-headers-*.deb "$1"/linux-image-*.deb "$1"/linux-base-*.deb "$1"/linux-binary-*.deb "$1"/linux-modules-*.deb; do
			[ ! -e "$deb" ] || dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner
		done' sh "$from" "$tmp/deb"
	local headers=$tmp/deb/usr/src/linux-headers-$release
	cp "$headers/.config" "$headers/Module.symvers" "$tmp/headers/"
	# Older packages have them in /boot and /lib.
	cp "$(find "$tmp/deb" -name 'vmlinuz*' -type f | head -n 1)" "$tmp/vmlinuz"
	mv "$(find "$tmp/deb" -path '*/lib/modules' -type d | head -n 1)" "$tmp/lib/modules"
	rm -rf "$tmp/deb"
	in_root depmod -b "$tmp" "$release"
}

prepare_stock() {
	logged "$cache/kernel-$kind.log" \
		in_root "$scripts/rust-metadata" "$source" "$tmp/headers" "$release" "$tmp/build" -j"$jobs" "${args[@]}"
}

# make_debian RELEASE FROM: a kernel of Debian, out of the packages in FROM.
make_debian() {
	release=$1 from=$2
	need_space "$cache" 2000 "the kernel $release"
	mkdir -p "$tmp/build" "$tmp/deb" "$tmp/headers" "$tmp/lib"
	args=(ARCH=x86 CROSS_COMPILE=x86_64-linux-gnu- CC=x86_64-linux-gnu-gcc-14)
	echo "${args[*]}" > "$tmp/make-args"
	echo "$release" > "$tmp/release"
	step "unpacking the kernel $release" unpack_stock
	step "rebuilding the Rust metadata of $release (1 to 4 minutes)" prepare_stock
	say "    $(tail -n 1 "$cache/kernel-$kind.log")"
	rm -r "$tmp/headers"
	settle
}

make_kernel() { make_debian "$(cat "$rootdir/release")" "$debs"; }

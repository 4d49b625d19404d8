# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by scripts/kernel, which sets these: shellcheck cannot see it.
# shellcheck disable=SC2154

# stock: Debian's kernel as it is. Its header package lacks what a Rust module is compiled against
# (rust/*.rmeta and the macros), but the same sources, the same configuration and the same compilers
# give the same metadata again; every Rust symbol is held against those of the kernel to be sure.
#
unpack_stock() {
	# shellcheck disable=SC2016
	in_root sh -euc 'cd "$2"
		for deb in "$1"/linux-headers-*.deb "$1"/linux-image-*.deb "$1"/linux-base-*.deb "$1"/linux-binary-*.deb "$1"/linux-modules-*.deb; do
			[ ! -e "$deb" ] || dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner
		done' sh "$debs" "$tmp/deb"
	local headers=$tmp/deb/usr/src/linux-headers-$release
	cp "$headers/.config" "$headers/Module.symvers" "$tmp/build/"
	# Older packages have them in /boot and /lib.
	cp "$(find "$tmp/deb" -name 'vmlinuz*' -type f | head -n 1)" "$tmp/vmlinuz"
	mv "$(find "$tmp/deb" -path '*/lib/modules' -type d | head -n 1)" "$tmp/lib/modules"
	rm -rf "$tmp/deb"
	in_root depmod -b "$tmp" "$release"
}

prepare_stock() {
	logged "$cache/kernel-stock.log" \
		in_root make -C "$source" O="$tmp/build" -j"$jobs" "${args[@]}" olddefconfig prepare modules_prepare
}

# All the symbols that the rebuilt Rust crates would export, and all that the kernel has.
compare_symbols() {
	# Exported by name with their crate's hash in it: equal names mean equal interfaces.
	sed -nE 's/.*EXPORT_SYMBOL_RUST_GPL\((_R\w+)\).*/\1/p' "$tmp"/build/rust/exports_*_generated.h |
		sort -u > "$tmp/rust-symbols"
	awk '$2 ~ /^_R/ && $3 == "vmlinux" { print $2 }' "$tmp/build/Module.symvers" | sort -u > "$tmp/kernel-symbols"
	[ -s "$tmp/kernel-symbols" ] || die "the kernel exports no Rust symbols at all"
	local odd
	odd=$(comm -3 "$tmp/rust-symbols" "$tmp/kernel-symbols" | wc -l)
	[ "$odd" = 0 ] || die "$odd Rust symbols are not those of the kernel $release: another rustc built it?"
	say "    all $(wc -l < "$tmp/kernel-symbols") Rust symbols are those of $release"
}

make_kernel() {
	need_space "$cache" 2000 "the stock kernel"
	release=$(cat "$rootdir/release")
	mkdir -p "$tmp/build" "$tmp/deb" "$tmp/lib"
	args=(ARCH=x86 CROSS_COMPILE=x86_64-linux-gnu- CC=x86_64-linux-gnu-gcc-14)
	echo "${args[*]}" > "$tmp/make-args"
	echo "$release" > "$tmp/release"
	args+=("KERNELRELEASE=$release")
	step "unpacking the kernel $release" unpack_stock
	step "rebuilding the Rust metadata of $release (1 to 4 minutes)" prepare_stock
	compare_symbols
	settle
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by scripts/kernel, which sets these: shellcheck cannot see it.
# shellcheck disable=SC2154

# debug: the same sources with clang, which KASAN needs for Rust, and everything switched on that
# finds mistakes.
fragments=("$checkout/.config.fragment" "$checkout/tests/debug.config")

build_debug() {
	in_root make "${make[@]}" tinyconfig
	# merge_config only appends; olddefconfig then drops what cannot be, and check_config sees it.
	in_root "$source/scripts/kconfig/merge_config.sh" -m -O "$tmp/build" "$tmp/build/.config" "${fragments[@]}"
	in_root make "${make[@]}" olddefconfig
	check_config "$tmp/build/.config"
	in_root make "${make[@]}" -j"$jobs" bzImage modules
	in_root make "${make[@]}" INSTALL_MOD_PATH="$tmp" modules_install
}

# Kconfig drops what it cannot have without a word: a debug kernel without KASAN would just be quiet.
check_config() {
	local line bad=0
	while read -r line; do
		case $line in
		CONFIG_*=n) line="# ${line%=n} is not set" ;;
		CONFIG_*=* | '# CONFIG_'*' is not set') ;;
		*) continue ;;
		esac
		if ! grep -qxF "$line" "$1"; then
			# What does not exist at all is off too.
			case $line in
			'# '*) grep -q "^${line:2:-11}=" "$1" || continue ;;
			esac
			echo "not in the final configuration: $line"
			bad=1
		fi
	done < <(cat "${fragments[@]}")
	return $bad
}

make_kernel() {
	need_space "$cache" 4000 "the debug kernel"
	mkdir -p "$tmp/build"
	args=(ARCH=x86 LLVM=-19)
	echo "${args[*]}" > "$tmp/make-args"
	make=(-C "$source" O="$tmp/build" "${args[@]}")
	step "building the debug kernel with clang (12 to 20 minutes on two cores; log: $cache/kernel-debug.log)" \
		logged "$cache/kernel-debug.log" build_debug
	cp "$tmp/build/arch/x86/boot/bzImage" "$tmp/vmlinuz"
	cp "$tmp/build/include/config/kernel.release" "$tmp/release"
	settle
	# What a module build does not need.
	find "$tmp/build" \( -name '*.a' -o -name '.tmp_vmlinux*' -o -name 'vmlinux.o' -o -name 'vmlinux.unstripped' \) -delete
	find "$tmp/build" -name '*.o' -not -path '*/scripts/*' -not -path '*/tools/*' -delete
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by scripts/kernel, which sets these: shellcheck cannot see it.
# shellcheck disable=SC2154

# rt: the flavour of Debian's kernel with PREEMPT_RT, of the version of the stock kernel. It is no part of the
# build root: its packages are fetched when it is asked for first.

# shellcheck source=/dev/null
. "$scripts/kernel-stock.sh"
fragments+=("$scripts/kernel-stock.sh")

# The lists of the archive go where what they are for goes: the build root cannot be written to.
fetch_rt() {
	# shellcheck disable=SC2016 # expanded inside
	logged "$cache/kernel-rt.log" in_root sh -euc 'cd "$1"
		mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial
		apt() {
			apt-get -q -o APT::Sandbox::User=root -o Dir::State::Lists=/tmp/apt/lists -o Dir::Cache=/tmp/apt/cache "$@"
		}
		apt update
		names=
		for p in headers image base binary modules; do
			if apt-cache -o Dir::State::Lists=/tmp/apt/lists -o Dir::Cache=/tmp/apt/cache madison "linux-$p-$2" |
				tr -d " " | grep -qF "|$3|"; then
				names="$names linux-$p-$2=$3"
			fi
		done
		case $names in *linux-headers*linux-image*) ;; *) echo "the archive has no linux-image-$2 of $3 any more"; exit 1 ;; esac
		# shellcheck disable=SC2086
		apt download $names' sh "$1" "$2" "$3"
}

make_kernel() {
	local release version=${deb#*_}
	release=$(sed 's/-amd64$/-rt-amd64/' "$rootdir/release")
	mkdir "$tmp/packages"
	step "fetching the kernel $release" fetch_rt "$tmp/packages" "$release" "${version%_all.deb}"
	make_debian "$release" "$tmp/packages"
	rm -r "$tmp/packages"
}

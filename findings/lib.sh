# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts here share: packages of Debian in a temporary folder, which goes away at the end,
# programs run from there, and a guest with Debian's kernel. Sourced, never run.

suite=trixie
kernel_release=7.3.4+deb13-amd64
kernel_version=7.3.4-1~bpo13+1
qemu_version=1:10.0.13+ds-0+deb13u1

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "run it as root: the programs run in a chroot"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp" # apt fetches as a user of its own

# expect WHAT WANTED FOUND: stop if it is not what was seen before.
expect() {
	[ "$2" = "$3" ] || die "CHANGED: $1: '$2' is expected, and it is '$3'"
	say "as seen: $1: $3"
}

# This machine's apt, with its mirror of Debian, its proxy and its keys, but as if no package were
# installed: what a package depends on is fetched too.
apt_get() {
	local apt=$tmp/apt mirror=${FINDINGS_MIRROR:-}
	if [ ! -e "$apt/ready" ]; then
		mkdir -p "$apt/lists/partial" "$apt/archives/partial"
		: > "$apt/status"
		# shellcheck disable=SC2016 # apt's variable, not the shell's
		[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' \
			'Created-By: Packages' 'Origin: Debian' | awk '!/security/ { print; exit }')
		[ -n "$mirror" ] || die "this machine's apt knows no mirror of Debian (FINDINGS_MIRROR names one)"
		printf "deb $mirror %s main\n" $suite $suite-backports > "$apt/sources.list"
		cat > "$apt/conf" <<-END
			Dir::Etc::sourcelist "$apt/sources.list";
			Dir::Etc::sourceparts "/dev/null";
			Dir::Etc::preferencesparts "/dev/null";
			Dir::State::lists "$apt/lists";
			Dir::State::status "$apt/status";
			Dir::Cache "$apt";
			APT::Architecture "amd64";
			APT::Architectures { "amd64"; };
			APT::Install-Recommends "false";
			Acquire::Languages "none";
			#clear DPkg::Post-Invoke;
			#clear APT::Update::Post-Invoke;
			#clear APT::Update::Post-Invoke-Success;
		END
		APT_CONFIG=$apt/conf apt-get -qq update
		touch "$apt/ready"
	fi
	APT_CONFIG=$apt/conf apt-get -qq "$@"
}

# unpack ROOT PACKAGE[=VERSION]...: these and all they depend on, in $tmp/ROOT; nothing is configured.
unpack() {
	local root=$tmp/$1 dir deb
	shift
	apt_get --yes --download-only install "$@" > /dev/null || die "the archive does not have all of: $*"
	mkdir -p "$root"/{dev,etc,proc,tmp,mnt,sys,usr,var/tmp}
	for dir in bin lib lib64 sbin; do
		mkdir -p "$root/usr/$dir"
		ln -sfn usr/$dir "$root/$dir"
	done
	ln -sfn /proc/self/mounts "$root/etc/mtab"
	for deb in "$tmp"/apt/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" -x --keep-directory-symlink
	done
	rm "$tmp"/apt/archives/*.deb
	say "with: $*"
}

# inside ROOT COMMAND...: a program of these packages, with their libraries, for 15 minutes at most.
inside() {
	local root=$tmp/$1
	shift
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --fork --kill-child sh -euc 'root=$1
		shift
		mount --bind /dev "$root/dev"
		mount -t proc proc "$root/proc"
		exec env -i PATH=/usr/sbin:/usr/bin LC_ALL=C TMPDIR=/tmp timeout -k 5 900 chroot "$root" "$@"' sh "$root" "$@"
}

# status_of COMMAND...: runs it in the folder "root", and prints its status; $tmp/out has what it said.
status_of() {
	local status=0
	inside root "$@" > "$tmp/out" 2>&1 || status=$?
	echo $status
}

# unpack_guest PACKAGE[=VERSION]...: QEMU in $tmp/qemu; Debian's kernel and these packages in $tmp/guest.
unpack_guest() {
	local applet
	unpack qemu "qemu-system-x86=$qemu_version"
	unpack guest "linux-binary-$kernel_release=$kernel_version" "linux-modules-$kernel_release=$kernel_version" \
		busybox-static dash kmod liblzma5 "$@"
	inside guest depmod $kernel_release || die "depmod failed"
	for applet in $("$tmp/guest/usr/bin/busybox" --list); do
		[ -e "$tmp/guest/usr/bin/$applet" ] || [ -e "$tmp/guest/usr/sbin/$applet" ] ||
			ln -s busybox "$tmp/guest/usr/bin/$applet"
	done
}

# guest MODULE...: boot that with these modules and a disk /dev/vda of 400 MiB, and run the script on
# standard input, which ends with the first command that fails. What it prints is left in $tmp/said.
# (By dash, as the shell of busybox takes its own programs before those of packages.)
guest() {
	local guest=$tmp/guest io=$tmp/qemu/tmp m
	rm -rf "$guest/modules"
	mkdir "$guest/modules"
	for m in virtio_blk "$@"; do
		inside guest modprobe -S $kernel_release --show-depends "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r m; do
		cp "$guest$m" "$guest/modules/"
		echo "insmod /modules/${m##*/}"
	done > "$guest/load"
	cat > "$guest/script"
	cat > "$guest/init" <<-'END'
		#!/usr/bin/dash
		export PATH=/usr/sbin:/usr/bin LC_ALL=C
		mount -t devtmpfs dev /dev
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		dash -e /load && dash -eu /script < /dev/null > /dev/hvc0 2>&1
		echo "status $?" > /dev/hvc0
		poweroff -f
	END
	chmod 755 "$guest/init"
	(cd "$guest" && find . -path ./usr/lib/modules -prune -o -print |
		usr/bin/busybox cpio -o -H newc) > "$io/initramfs" 2> /dev/null
	cp "$guest/usr/lib/modules/$kernel_release/vmlinuz" "$io/"
	rm -f "$io/disk"
	truncate -s 400M "$io/disk"
	# By TCG, which every machine has.
	inside qemu qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M pc -m 1024 \
		-accel tcg -cpu max -kernel /tmp/vmlinuz -initrd /tmp/initramfs \
		-append 'console=ttyS0 panic=-1 oops=panic mitigations=off random.trust_cpu=on no_timer_check' \
		-serial file:/tmp/console -device virtio-serial-pci -chardev stdio,id=out,signal=off \
		-device virtconsole,chardev=out -drive if=none,id=disk,file=/tmp/disk,format=raw,cache=unsafe \
		-device virtio-blk-pci,drive=disk < /dev/null | tr -d '\r' > "$tmp/said"
	if [ "$(tail -n 1 "$tmp/said")" != 'status 0' ]; then
		cat "$tmp/said" >&2
		tail "$io/console" >&2
		die "the guest did not come to its end"
	fi
	sed -i '$d' "$tmp/said"
}

# expect_said: the same as expect for what the guest printed, with what was seen on standard input.
expect_said() {
	local wanted said
	exec 3< "$tmp/said"
	while read -r wanted; do
		IFS= read -r said <&3 || said=
		expect "${wanted%%: *}" "${wanted#*: }" "${said#"${wanted%%: *}: "}"
	done
	! IFS= read -r said <&3 || die "CHANGED: more was said: $said"
}

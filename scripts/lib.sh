# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts of the rig share: messages, the cache, locks. Sourced, never run.
#
# What a script prints on standard output is its answer (a path, as a rule), so
# everything meant for a person goes to standard error.

# The one place that names the kernel series and the Debian release it comes with.
: "${RETRYFS_SERIES:=7.3}"
: "${RETRYFS_SUITE:=trixie}"
export RETRYFS_SERIES RETRYFS_SUITE

# A script that another one runs ends with it, however that ended: no guest and no compiler is left.
case ${RETRYFS_TIED:-} in
'') export RETRYFS_TIED=$$ ;;
"$$") ;;
*) RETRYFS_TIED=$$ exec setpriv --pdeathsig TERM "$0" "$@" ;;
esac

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck disable=SC2034 # used by those that source this
checkout=$(dirname "$scripts")

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# run CMD...: leave the status of a command or function in rc. (With "|| rc=$?" the shell would not
# stop at the first thing that fails inside a function.) A program is run by this shell, with which it ends, and not by
# another one, which would outlive it.
run() {
	set +e
	if [ "$(type -t "$1")" = file ]; then "$@"; else (set -e; "$@"); fi
	rc=$?
	set -e
}

# step TEXT CMD...: run one long step; say what it is and, at its end, how long it took.
step() {
	local text=$1 t0=$SECONDS rc
	shift
	say "==> $text"
	run "$@"
	if [ "$rc" = 0 ]; then
		say "    done in $((SECONDS - t0)) s: $text"
	else
		say "    FAILED after $((SECONDS - t0)) s (status $rc): $text"
	fi
	return "$rc"
}

# logged LOG CMD...: keep what a command prints in LOG; show the end of it if the command fails.
logged() {
	local log=$1 rc
	shift
	run "$@" >"$log" 2>&1
	if [ "$rc" != 0 ]; then
		say "    '$*' failed; the end of its output:"
		tail -n 40 "$log" | sed 's/^/    | /' >&2
	fi
	return "$rc"
}

# Everything that is made once and kept. Nothing in it is precious.
cache=${RETRYFS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/retryfs}
mkdir -p "$cache" || die "cannot make the cache directory $cache (RETRYFS_CACHE chooses another)"
cache=$(cd "$cache" && pwd -P)
export RETRYFS_CACHE=$cache

# key FILE-OR-STRING...: a short name for what these files and strings hold.
key() {
	local x
	for x; do
		if [ -f "$x" ]; then cat "$x"; else printf '%s\n' "$x"; fi
	done | sha256sum | cut -c1-16
}

# need_space DIR MIB WHAT: refuse early and clearly instead of failing late and strangely.
need_space() {
	local have
	have=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "$have" -ge "$2" ] || die "$3 needs $2 MiB in $1, but only $have MiB are free there
  (RETRYFS_CACHE=/some/where/else puts the cache on another disk)"
}

# lock NAME: hold the lock until this process ends. Says so when it has to wait for another run.
lock() {
	mkdir -p "$cache/locks"
	while :; do
		exec {lock_fd}>"$cache/locks/$1"
		if ! flock -n "$lock_fd"; then
			say "==> waiting for another run that is making $1"
			flock "$lock_fd"
		fi
		# Who had it may have removed the file, and others lock another one by that name.
		[ ! "/proc/self/fd/$lock_fd" -ef "$cache/locks/$1" ] || return 0
		exec {lock_fd}>&-
	done
}

# make_tmp NAME: make an empty directory in tmp/ and leave its name in tmp. It is ours as long as we
# hold the lock of its name: what has no such owner was left by a run that was killed, and goes.
make_tmp() {
	local d owner
	lock "$1"
	for d in "$cache"/tmp/*; do
		[ "${d##*/}" != "$1" ] || continue
		owner=$cache/locks/${d##*/}
		(exec 9>"$owner" && flock -n 9 && [ /proc/self/fd/9 -ef "$owner" ] && remove_tree "$d" &&
			rm -f "$owner") || true
	done
	tmp=$cache/tmp/$1
	remove_tree "$tmp"
	mkdir -p "$tmp"
}

# drop_tmp: the directory that make_tmp made, which nobody else has a name for, goes with its lock.
drop_tmp() {
	remove_tree "$tmp"
	rm -f "$cache/locks/${tmp##*/}"
}

# make_once DIR CMD...: if DIR is not there, have CMD make it as $tmp and rename it when it is
# complete. An interrupted run leaves only a directory in tmp/.
make_once() {
	local dir=$1 name
	name=${dir##*/}
	shift
	# The time stamp is for scripts/prune.
	[ ! -d "$dir" ] || { touch "$dir"; return 0; }
	(
		lock "$name"
		[ ! -d "$dir" ] || exit 0
		make_tmp "new-$name"
		mkdir -p "${dir%/*}"
		"$@"
		mv -T "$tmp" "$dir"
	)
}

# remove_tree DIR: rm -rf, but never into something that is still mounted below it.
remove_tree() {
	[ -e "$1" ] || return 0
	if grep -qF " $1/" /proc/self/mounts; then
		die "something is still mounted below $1"
	fi
	rm -rf --one-file-system "$1"
}

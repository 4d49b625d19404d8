#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# restic 0.18.0: "restic unlock" sends SIGHUP to the process that has the number in a lock, whichever it is by now.
#
# A lock has the name of its host and the number of its process. For one of this host that is younger than 30 minutes, restic finds
# out by a signal whether the process lives, as its design document says, and this is SIGHUP, which does nothing to restic, and not
# signal 0. When restic was killed, and its number is another process's now, as after a reboot, or in a container that was started
# again under its host name, where numbers are small, that one gets the signal. If it does not handle it, it ends. The lock stays,
# as the process is there, and the status is 0. The lock also stays when the number is that of "restic unlock" itself. When it is
# nobody's, the lock is removed.
#
# What to do instead: when it is known that no restic is at work on the repository, "restic unlock --remove-all", which sends
# nothing. Else wait until the lock is 30 minutes old, when its age alone decides; a restic at work renews its lock every 5 minutes.
# Whether a lock is left is said by "restic list locks --no-lock", and not by the status of unlock.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack root restic=0.18.0-1+b4 dash coreutils sed

# run SCRIPT [ARGUMENT]...: in a PID namespace of its own, as in a container: what is started first has the same number each time.
# Ignored signals are inherited, and SIGHUP may be one here.
run() {
	inside root env --default-signal=HUP RESTIC_PASSWORD=x RESTIC_REPOSITORY=/tmp/repository RESTIC_CACHE_DIR=/tmp/cache dash -eu "$@"
}

# A backup that is killed when it has read some of its input, for which it has taken the lock.
cat > "$tmp/root/killed" <<'END'
restic backup --stdin < /tmp/fifo > /tmp/log 2>&1 &
exec 3> /tmp/fifo
head -c 1M /dev/zero >&3
kill -KILL $!
status=0
wait $! 2> /dev/null || status=$?
echo $! > /tmp/number
lock=$(restic list locks --no-lock)
number=$(restic cat lock --no-lock "$lock" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
[ "$number" = $! ] && whose=its || whose=another
echo "$status, $whose number"
END

# restic unlock, with these arguments, beside a sleep of the lock's number. One that has had no signal ends by SIGTERM, 143.
cat > "$tmp/root/beside" <<'END'
sleep 600 > /dev/null &
[ $! = $(cat /tmp/number) ] || { echo "sleep has another number"; exit; }
status=0
restic unlock "$@" > /tmp/log 2>&1 || status=$?
kill $! 2> /dev/null || :
slept=0
wait $! 2> /dev/null || slept=$?
echo "$status, $slept, $(ls /tmp/repository/locks | wc -l)"
END

# restic unlock as the process that has the lock's number, and then when nobody has it: status, and locks that are left.
cat > "$tmp/root/alone" <<'END'
for turn in 1 2; do
	status=0
	restic unlock > /tmp/log 2>&1 &
	[ $! = $(cat /tmp/number) ] && whose=its || whose=another
	wait $! || status=$?
	echo "unlock that has $whose number: $status, $(ls /tmp/repository/locks | wc -l)"
done
END

mkfifo "$tmp/root/tmp/fifo"
run -c 'restic init > /tmp/log'
expect "a backup that is killed: its status, and what the lock has" "137, its number" "$(run /killed)"
expect "unlock, with that number a sleep's: its status, that of sleep, locks left" "0, 129, 1" "$(run /beside)"
expect "unlock --remove-all, the same" "0, 143, 0" "$(run /beside --remove-all)"
expect "another backup that is killed" "137, its number" "$(run /killed)"
run /alone > "$tmp/said"
expect_said <<'END'
unlock that has its number: 0, 1
unlock that has another number: 0, 0
END

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# MariaDB 11.8.9 writes its redo log through the page cache, though told not to, where /sys is not mounted.
#
# With innodb_log_file_buffering=OFF the log is written with O_DIRECT. InnoDB takes the size of a sector for it from
# /sys/dev/block. In a chroot without /sys it finds none, and then the log is opened without O_DIRECT; data files, for which
# innodb_data_file_buffering=OFF is the same request, have it still. There is no error and no warning: the server starts, a
# note among those of each start says "Buffered log writes", and the variable reads ON.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

device=$(stat -c %Hd:%Ld "$tmp")
[ -e "/sys/dev/block/$device" ] || die "TMPDIR has to lie on a file system of a block device"
unpack root mariadb-server-core=1:11.8.9+ds-0+deb13u1 mariadb-client-core=1:11.8.9+ds-0+deb13u1 dash coreutils grep mount

# The server starts with an empty data directory, says what it has made of its options, and how its files are open.
cat > "$tmp/root/try" <<'END'
[ $1 = without ] || mount -t sysfs sys /sys
rm -rf /tmp/data
mkdir /tmp/data
mariadbd --no-defaults --user=root --datadir=/tmp/data --bootstrap < /dev/null > /tmp/log 2>&1
mariadbd --no-defaults --user=root --datadir=/tmp/data --socket=/tmp/socket --skip-networking --skip-grant-tables \
	--innodb-data-file-buffering=OFF --innodb-log-file-buffering=OFF > /tmp/log 2>&1 &
until mariadb --no-defaults -S /tmp/socket -e '' 2> /dev/null; do
	kill -0 $!
	sleep 0.1
done
for variable in innodb_data_file_buffering innodb_log_file_buffering; do
	echo "$variable: $(mariadb --no-defaults -S /tmp/socket -N -e "SELECT @@$variable")"
done
for fd in /proc/$!/fd/*; do
	file=$(readlink $fd)
	case $file in
	*/ibdata1 | */ib_logfile0)
		flags=$(grep flags: /proc/$!/fdinfo/${fd##*/} | tr -dc 0-9)
		[ $((0$flags & 040000)) -eq 0 ] && how=buffered || how=O_DIRECT
		echo "${file##*/}: $how"
		;;
	esac
done | sort
echo "warnings of InnoDB: $(grep -cE '\[(Warning|ERROR)\] InnoDB' /tmp/log)"
echo "a note: $(grep -oE 'Buffered log writes|File system buffers for log disabled' /tmp/log)"
kill $!
wait $!
END

for sys in with without; do
	say "$sys /sys:"
	inside root dash -eu /try $sys > "$tmp/said" || die "the server did not come to its end: $(tail "$tmp/root/tmp/log")"
	if [ $sys = with ]; then
		set -- 0 O_DIRECT 'File system buffers for log disabled'
	else
		set -- 1 buffered 'Buffered log writes'
	fi
	expect_said <<-END
		innodb_data_file_buffering: 0
		innodb_log_file_buffering: $1
		ib_logfile0: $2
		ibdata1: O_DIRECT
		warnings of InnoDB: 0
		a note: $3
	END
done

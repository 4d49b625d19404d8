#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Who reads or writes a file gets SIGPIPE when the NVMe/TCP connection below the filesystem goes; most programs die of it.
#
# With Linux 7.3.4: the driver sends a request in the task that submits it, without MSG_NOSIGNAL. Between the moment at which
# the target has closed the connection and the one at which error recovery stops the queue, that is EPIPE, and the signal
# goes to who reads or writes, as if the file (here on ext4, with O_DIRECT) were a pipe. The request does not fail: it waits for
# the new connection. So dd is killed, without a word; a program with a handler finds that its write was complete; and one that
# ignores the signal does not notice. To ignore it is what helps: trap '' PIPE in a shell, whose children inherit it, or
# IgnoreSIGPIPE=yes of a systemd service, which is the default. How soon the host connects again has no part in it.
#
# The time is short: so 64 programs are at work, and the connection is cut until each kind of them has met the signal, which
# takes some twenty or thirty times: two to four minutes, and more on a machine that is busy.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest coreutils e2fsprogs iproute2 mount python3
cat > "$tmp/guest/handles.py" << 'END'
import mmap, os, signal, sys

def handler(*_):
    global signals
    signals += 1

def tell(name, what):
    with open(name, "a") as file:
        print(what, file=file)

signals = writes = 0
signal.signal(signal.SIGPIPE, handler)
page = mmap.mmap(-1, 4096)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
while not os.path.exists("/tmp/enough"):
    before = signals
    try:
        result = os.pwrite(file, page, writes % 256 * 4096)
    except OSError as error:
        result = error
    writes += 1
    if signals != before:
        tell("/tmp/handles", result)
    if result != 4096:
        tell("/tmp/failed", result)
END
guest nvme-tcp nvmet-tcp ext4 << 'END'
mount -t configfs config /sys/kernel/config
mount -t tracefs trace /sys/kernel/tracing
ip link set lo up
mkfs.ext4 -q -F /dev/vda

name=nqn.2026-11.org.example:disk
subsystem=/sys/kernel/config/nvmet/subsystems/$name
port=/sys/kernel/config/nvmet/ports/1
mkdir $subsystem $subsystem/namespaces/1 $port
echo 1 > $subsystem/attr_allow_any_host
echo -n /dev/vda > $subsystem/namespaces/1/device_path
echo 1 > $subsystem/namespaces/1/enable
echo tcp > $port/addr_trtype
echo ipv4 > $port/addr_adrfam
echo 127.0.0.1 > $port/addr_traddr
echo 4420 > $port/addr_trsvcid
plug() { ln -s $subsystem $port/subsystems/; }
unplug() { rm $port/subsystems/$name; }
state() { until [ "$(cat /sys/class/nvme/nvme0/state)" = $1 ]; do sleep 0.1; done; }
plug
echo transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$name,reconnect_delay=1,ctrl_loss_tmo=600 > /dev/nvme-fabrics
until [ -b /dev/nvme0n1 ]; do sleep 0.1; done
mount /dev/nvme0n1 /mnt

# Of signals that are ignored only the kernel knows; the dd that does has a name of its own.
ln -s dd /usr/bin/ignoring_dd
signals=/sys/kernel/tracing/events/signal/signal_generate
echo 'sig == 13 && comm == "ignoring_dd"' > $signals/filter
echo 1 > $signals/enable
dropped() { grep -q 'sig=13 .* res=1' /sys/kernel/tracing/trace; }

# again WHAT DD ARGUMENT...: that, until it is enough, or does not end well.
again() {
	what=$1
	shift
	until [ -e /tmp/enough ]; do
		rc=0
		"$@" bs=4k count=256 status=none || rc=$?
		if [ $rc != 0 ]; then
			echo $rc >> /tmp/$what
			break
		fi
	done
}
dd if=/dev/zero of=/mnt/file bs=4k count=256 conv=fsync status=none
for n in $(seq 16); do
	again reads dd if=/mnt/file of=/dev/null iflag=direct &
	again writes dd if=/dev/zero of=/mnt/writes.$n oflag=direct conv=notrunc &
	(trap '' PIPE; again ignores ignoring_dd if=/dev/zero of=/mnt/ignores.$n oflag=direct conv=notrunc) &
	python3 /handles.py /mnt/handles.$n &
done

# The connection is cut and comes back, until each kind has met the signal.
cuts=0
until [ $cuts = 100 ] || { [ -e /tmp/reads ] && [ -e /tmp/writes ] && [ -e /tmp/handles ] && dropped; }; do
	cuts=$((cuts + 1))
	unplug
	state connecting
	plug
	state live
	sleep 0.5
done
touch /tmp/enough
wait

# seen WHAT: all the different results.
seen() { [ -e /tmp/$1 ] && echo $(sort -u /tmp/$1) || echo none; }
echo "dd that reads a file, statuses but 0: $(seen reads)"
echo "dd that writes a file, statuses but 0: $(seen writes)"
echo "writes after which a handler ran, results: $(seen handles)"
echo "all writes with a handler, results but 4096: $(seen failed)"
echo "dd with the signal ignored, signals: $(dropped && echo dropped || echo none)"
echo "dd with the signal ignored, statuses but 0: $(seen ignores)"
umount /mnt
END
expect_said << 'END'
dd that reads a file, statuses but 0: 141
dd that writes a file, statuses but 0: 141
writes after which a handler ran, results: 4096
all writes with a handler, results but 4096: none
dd with the signal ignored, signals: dropped
dd with the signal ignored, statuses but 0: none
END

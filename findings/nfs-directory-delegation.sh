#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# With the directory delegations of NFSv4.1, a client goes on saying that a file is not there, however long.
#
# A client of Linux 7.3.4 with actimeo=0, of the kernel's own server, looks for a name in a new directory: it is not there.
# Then a program on the server makes the file. The client, which by its option keeps no attributes, does not
# find it, not after half a minute either, until it reads the directory: then it does. The client asks for directory
# delegations by default; without (the parameter directory_delegations of the module nfsv4) it finds the file at once.
# The volume is an ext4, which counts the changes of a directory (i_version).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack_guest coreutils=9.7-3 e2fsprogs=1.47.2-3+b12 mount iproute2
guest nfsd nfsv4 ext4 << 'END'
ip link set lo up
mkfs.ext4 -q -F /dev/vda
mkdir -p /export /client
mount -t ext4 /dev/vda /export
mount -t nfsd nfsd /proc/fs/nfsd
echo '-3 +4 +4.1 +4.2' > /proc/fs/nfsd/versions
echo 10 > /proc/fs/nfsd/nfsv4gracetime
printf 'tcp 2049' > /proc/fs/nfsd/portlist
echo 'nfsd 127.0.0.1 2147483647 *' > /proc/net/rpc/auth.unix.ip/channel
printf '* 1 \\x00000000 2147483647 /export\n' > /proc/net/rpc/nfsd.fh/channel
echo '* /export 2147483647 9218 65534 65534 0' > /proc/net/rpc/nfsd.export/channel
echo 2 > /proc/fs/nfsd/threads
mount -i -t nfs4 -o vers=4.2,proto=tcp,port=2049,addr=127.0.0.1,clientaddr=127.0.0.1,sec=sys,actimeo=0 127.0.0.1:/ /client
# It waits for the end of the server's grace period.
touch /client/file

look() { if [ -e "/client/$1" ]; then echo seen; else echo 'not seen'; fi; }

for delegations in Y N; do
	echo $delegations > /sys/module/nfsv4/parameters/directory_delegations
	mkdir /export/$delegations
	echo "delegations $delegations, before: $(look $delegations/file)"
	touch /export/$delegations/file
	echo "delegations $delegations, when it is there: $(look $delegations/file)"
	sleep 30
	echo "delegations $delegations, 30 s later: $(look $delegations/file)"
	echo "delegations $delegations, in the directory: $(ls /client/$delegations)"
	echo "delegations $delegations, after that: $(look $delegations/file)"
done
END
expect_said << 'END'
delegations Y, before: not seen
delegations Y, when it is there: not seen
delegations Y, 30 s later: not seen
delegations Y, in the directory: file
delegations Y, after that: seen
delegations N, before: not seen
delegations N, when it is there: seen
delegations N, 30 s later: seen
delegations N, in the directory: file
delegations N, after that: seen
END

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the clients share. Sourced in the guest by run, which sources the clients too. Each has these functions, of
# which CLIENT is the name, and "how" what it is called with:
#
#   CLIENT_setup     make what it works on, in $dir, durable when it returns
#   CLIENT_start     start its server, if it has one, which repairs what a crash has left
#   CLIENT_write N   write unit N + 1 and so on until somebody kills it; a line for each one that it was told is
#                    durable goes to $acks. A unit is a row, or some requests at once
#   CLIENT_verify N  the units up to N are there, as they were written
#   CLIENT_check     its own checker is content
#   CLIENT_stop      end the server

# shellcheck source=/dev/null
. /retryfs/vm/common.sh
# shellcheck source=/dev/null
. /retryfs/vm/root.sh

# shellcheck disable=SC2034 # for those who read this file in
root=/clients

say() { printf '==> %s: %s\n' "$FSTYPE" "$*"; }

# shellcheck disable=SC2154 # by run
# A list that grows meanwhile may make wc complain; what it has counted until then is there.
acked()
{
	if [ -e "$acks" ]; then wc -l < "$acks" 2> /dev/null; else echo 0; fi
}
has_acked() { [ "$(acked)" -ge "$1" ]; }

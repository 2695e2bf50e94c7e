#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A signal at any moment leaves the target as it was and nothing beside it.
source "$(dirname "$0")/lib.sh"
requires python3 timeout

make_ram ram 48
mkdir there
seed=${SEED:-$RANDOM}
echo "SEED=$seed"
RANDOM=$seed
whole() { "$VMSNAP" check -q there/out || fail "done, but not sound"; }
killed_anywhere 400 "$VMSNAP" convert -q -o level=15 ram there/out

# A read that waits for a pipe ends as well.
rm -rf there/out there/.out*
mkfifo pipe
sleep 20 >pipe &
status=0
timeout -s TERM --preserve-status 0.3 "$VMSNAP" convert -q pipe there/out || status=$?
kill $!
[[ $status == 143 && -z $(names_in there) ]] || fail "waiting: $status, left $(names_in there)"

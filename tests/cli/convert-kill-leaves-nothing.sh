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
for old in '' 'old content'; do
  for signal in INT TERM HUP KILL INT TERM KILL; do
    rm -rf there/out there/.out*
    [[ -z $old ]] || echo "$old" >there/out
    status=0
    timeout -s $signal --preserve-status "0.$(printf %03d $((RANDOM % 400 + 1)))" "$VMSNAP" convert -q -o level=15 ram there/out 2>err || status=$?
    case $status in
      0) "$VMSNAP" check -q there/out || fail "done, but not sound" ;;
      129 | 130 | 137 | 143) [[ $(cat there/out 2>/dev/null) == "$old" ]] || fail "$signal: the target was touched" ;;
      *) fail "$signal: status $status: $(cat err)" ;;
    esac
    # Killed just between link and rename, a whole file may stay under a hidden name.
    [[ $signal == KILL ]] || [[ $(names_in there) =~ ^(out )?$ ]] || fail "$signal: left $(names_in there)"
  done
done

# A read that waits for a pipe ends as well.
rm -rf there/out there/.out*
mkfifo pipe
sleep 20 >pipe &
status=0
timeout -s TERM --preserve-status 0.3 "$VMSNAP" convert -q pipe there/out || status=$?
kill $!
[[ $status == 143 && -z $(names_in there) ]] || fail "waiting: $status, left $(names_in there)"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A signal at any moment of a live save: the target is as it was, no temporary file stays.
source "$(dirname "$0")/lib.sh"
requires python3 timeout
mkdir spool there
export TMPDIR=$PWD/spool

make_ram ram 24
python3 "$source_dir/tests/support/migration_stream.py" ram --rounds 2 --pages 2000 --truth truth >guest.mig
seed=${SEED:-$RANDOM}
echo "SEED=$seed"
RANDOM=$seed
for old in '' 'old content'; do
  for signal in INT TERM HUP KILL INT TERM KILL; do
    rm -rf there/out there/.out*
    [[ -z $old ]] || echo "$old" >there/out
    status=0
    timeout -s $signal --preserve-status "0.$(printf %03d $((RANDOM % 500 + 1)))" "$VMSNAP" convert -q -o level=9 guest.mig there/out 2>err || status=$?
    case $status in
      0) "$VMSNAP" convert -q -O raw there/out - | cmp - truth || fail "done, but not right" ;;
      129 | 130 | 137 | 143) [[ $(cat there/out 2>/dev/null) == "$old" ]] || fail "$signal: the target was touched" ;;
      *) fail "$signal: status $status: $(cat err)" ;;
    esac
    # Killed just between link and rename, a whole file may stay under a hidden name.
    [[ $signal == KILL ]] || [[ $(names_in there) =~ ^(out )?$ ]] || fail "$signal: left $(names_in there)"
    [[ -z $(names_in spool) ]] || fail "$signal: left $(names_in spool)"
  done
done

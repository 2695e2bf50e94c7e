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
whole() { "$VMSNAP" convert -q -O raw there/out - | cmp - truth || fail "done, but not right"; }
also_after() { [[ -z $(names_in spool) ]] || fail "$1: left $(names_in spool)"; }
killed_anywhere 500 "$VMSNAP" convert -q -o level=9 guest.mig there/out

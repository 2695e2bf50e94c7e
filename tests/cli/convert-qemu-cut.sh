#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stream that ends early, or whose sender died: the error says where, and the target is as it was.
source "$(dirname "$0")/lib.sh"
requires python3
mkdir spool there
export TMPDIR=$PWD/spool

make_ram ram 2
python3 "$source_dir/tests/support/migration_stream.py" ram --rounds 2 >guest.mig
size=$(stat -c %s guest.mig)
for old in '' 'old content'; do
  for cut in 20 60 5000 $((size / 2)) $((size - 5000)) $((size - 70)) $((size - 1)); do
    rm -f there/out
    [[ -z $old ]] || echo "$old" >there/out
    head -c $cut guest.mig >cut.mig
    expect 5 vmsnap convert -q cut.mig there/out
    says "cut.mig: "
    says "$cut"
    expect 5 vmsnap convert -q - there/out < <(head -c $cut guest.mig)
    says "standard input: "
    [[ $(cat there/out 2>/dev/null) == "$old" ]] || fail "the target was touched"
    [[ $(names_in there) =~ ^(out )?$ ]] || fail "left $(names_in there)"
    # Who reads from a pipe gets nothing of what is not whole.
    status=0
    head -c $cut guest.mig | vmsnap convert -q - - 2>/dev/null >piped || status=${PIPESTATUS[1]}
    [[ $status == 5 && ! -s piped ]] || fail "into a pipe: $status, $(stat -c %s piped) bytes"
  done
done
[[ -z $(names_in spool) ]] || fail "left $(names_in spool)"

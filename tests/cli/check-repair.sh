#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A lost or damaged index or trailer is made again, byte for byte; the file keeps its mode.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_ram ram 24 # more than 256 blocks: nodes on two levels
vmsnap convert -q ram good.vmsnap
size=$(stat -c %s good.vmsnap)

repairs() {
  chmod 640 bad.vmsnap
  status=0
  vmsnap check bad.vmsnap >out || status=$?
  [[ $status == 4 || $status == 5 ]] || fail "$1: not found: $status"
  prints '--repair mends it'
  expect 0 vmsnap check --repair bad.vmsnap
  prints repaired
  same good.vmsnap bad.vmsnap
  [[ $(stat -c %a bad.vmsnap) == 640 ]] || fail "$1: mode $(stat -c %a bad.vmsnap)"
}

for kind in NODE CLOSE CATALOG; do
  read -r at bytes < <(record good.vmsnap $kind)
  for place in $at $((at + 48)) $((at + bytes - 1)); do
    cp good.vmsnap bad.vmsnap
    flip bad.vmsnap "$place"
    repairs "$kind at $place"
  done
done
read -r at _ < <(record good.vmsnap CATALOG)
for length in $((size - 64)) $((size - 1)) $((at + 10)) "$at"; do
  head -c "$length" good.vmsnap >bad.vmsnap
  expect 5 vmsnap check bad.vmsnap
  repairs "cut to $length"
done
cp good.vmsnap bad.vmsnap
echo more >>bad.vmsnap
repairs "bytes behind the end"
[[ $(names_in .) != *.tmp* ]] || fail "left $(names_in .)"

# Only a file can be put in the place of a file.
mkfifo pipe
cat bad.vmsnap >pipe &
expect 2 vmsnap check --repair pipe
[[ -p pipe ]] || fail "the pipe is gone"
wait

# A name is a name.
cp good.vmsnap '[a,b]'
expect 0 vmsnap check '[a,b]'
prints '[a,b]: clean'

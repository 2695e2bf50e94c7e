#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A file that ends too early is incomplete, which is another answer than damaged.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 4
vmsnap convert -q ram good.vmsnap
read -r seal _ < <(record good.vmsnap SEAL)
size=$(stat -c %s good.vmsnap)
for length in 40 64 100 $((size / 3)) $((size / 2)) "$seal" $((seal + 20)); do
  head -c "$length" good.vmsnap >cut.vmsnap
  expect 5 vmsnap check cut.vmsnap
  expect 5 vmsnap check --repair cut.vmsnap
  [[ $(stat -c %s cut.vmsnap) == "$length" ]] || fail "changed by a repair that cannot be"
  expect 5 vmsnap info cut.vmsnap
  says 'cut.vmsnap: '
  expect 5 vmsnap convert -q -O raw cut.vmsnap back
  expect 5 vmsnap convert -q -O raw - back < <(cat cut.vmsnap)
  absent back
done

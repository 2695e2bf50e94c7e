#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The parent of a child whose trailer, catalog or name of the parent is damaged is found all the same, and used.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_chain 1
mkdir there
size=$(stat -c %s c1.vmsnap)
read -r catalog bytes < <(record c1.vmsnap CATALOG)
read -r parent parent_bytes < <(record c1.vmsnap PARENT)
for place in $((size - 1)) $((size - 64)) "$catalog" $((catalog + bytes - 1)) $((parent + parent_bytes - 1)); do
  cp c1.vmsnap there/bad
  flip there/bad "$place"
  expect 4 vmsnap check --parent base.vmsnap --output=json there/bad
  [[ $(json out 'j[0]["content_compared"]') == True ]] || fail "at $place: the parent was not used"
  expect 7 vmsnap check there/bad
  expect 0 vmsnap check --repair --parent base.vmsnap there/bad
  same c1.vmsnap there/bad
done
head -c "$catalog" c1.vmsnap >there/bad
expect 0 vmsnap check --repair --parent base.vmsnap there/bad
same c1.vmsnap there/bad

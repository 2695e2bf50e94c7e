#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is made of a child does not take the place of a file that the child needs, under whatever name.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 2
ln -s base.vmsnap link
ln base.vmsnap hard
sha256sum ./*.vmsnap >sums
before=$(names_in .)
for name in base.vmsnap ./c1.vmsnap link hard; do
  for how in vmsnap raw vmstate; do
    expect 2 vmsnap convert -q -O $how c2.vmsnap "$name"
    says 'is a parent of c2.vmsnap, and others may build upon it too'
  done
  for how in vmsnap raw; do
    expect 2 vmsnap convert -q --parent . -O $how - "$name" < <(cat c2.vmsnap)
    says 'is a parent of standard input'
  done
done
cp base.vmsnap other
expect 2 vmsnap convert -q -B other c2.vmsnap c1.vmsnap
sha256sum --quiet -c sums || fail "a parent was changed"
rm other
[[ $(names_in .) == $(tr ' ' '\n' <<<"$before out err" | grep . | sort -u | tr '\n' ' ') ]] || fail "left $(names_in .)"
expect 0 vmsnap convert -q c2.vmsnap c2.vmsnap # itself it may replace
expect 0 vmsnap compare c2.vmsnap r2

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A child does not take the place of a file that it needs, under whatever name.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 2
ln -s base.vmsnap link
ln base.vmsnap hard
sha256sum base.vmsnap c1.vmsnap >sums
for name in base.vmsnap ./base.vmsnap link hard c1.vmsnap; do
  expect 2 vmsnap convert -q -B c1.vmsnap r2 $name
  says "is the parent, which the new snapshot needs"
done
expect 2 vmsnap convert -q -B base.vmsnap base.vmsnap base.vmsnap
sha256sum --quiet -c sums || fail "a parent was changed"
expect 2 vmsnap convert -q -B r0 r1 x.vmsnap
says '-B r0: is raw, not a snapshot; convert it first'
expect 2 vmsnap convert -q -B - r1 x.vmsnap < <(cat base.vmsnap)
says 'a parent is read at random and must be a file'
expect 2 vmsnap convert -q -B base.vmsnap -O raw c1.vmsnap x.vmsnap
expect 3 vmsnap convert -q -B absent r1 x.vmsnap
absent x.vmsnap
# What is a child of another may be replaced by itself.
expect 0 vmsnap convert -q -B base.vmsnap c1.vmsnap c1.vmsnap
expect 0 vmsnap compare c1.vmsnap r1
expect 0 vmsnap compare c2.vmsnap r2

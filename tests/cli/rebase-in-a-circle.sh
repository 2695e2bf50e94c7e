#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rebase refuses what would make a snapshot a difference against itself, by whatever name, and changes nothing.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 3
ln -s base.vmsnap link
ln c1.vmsnap hard
mkdir in
ln -s ../c2.vmsnap in/two
sha256sum ./*.vmsnap >sums
expect 2 vmsnap rebase -B base.vmsnap base.vmsnap
says 'base.vmsnap: cannot be rebased onto itself'
expect 2 vmsnap rebase -B link base.vmsnap
expect 2 vmsnap rebase -B base.vmsnap link
expect 2 vmsnap rebase -B c1.vmsnap hard
for onto in c1 c2 c3; do
  expect 2 vmsnap rebase -B $onto.vmsnap base.vmsnap
  says "base.vmsnap: cannot be rebased onto $onto.vmsnap, which builds upon it"
done
expect 2 vmsnap rebase -B c3.vmsnap c1.vmsnap result
expect 2 vmsnap rebase -B in/two --parent . c1.vmsnap
expect 2 vmsnap rebase -B base.vmsnap c3.vmsnap base.vmsnap
expect 2 vmsnap rebase -B base.vmsnap c3.vmsnap c1.vmsnap
says 'c1.vmsnap: is a parent of c3.vmsnap'
expect 2 vmsnap rebase c3.vmsnap
absent result
sha256sum --quiet -c sums || fail "something was changed"
# A copy of the content is another file, and may be a parent.
cp base.vmsnap copy.vmsnap
expect 0 vmsnap rebase -q -B copy.vmsnap base.vmsnap other.vmsnap
expect 0 vmsnap compare other.vmsnap r0

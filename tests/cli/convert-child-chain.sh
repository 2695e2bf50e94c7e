#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A chain of three children: each gives its memory, is sound, and may be stored anew, as a child or alone.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_chain 3
for n in 1 2 3; do
  vmsnap convert -q -O raw c$n.vmsnap back
  same r$n back
  expect 0 vmsnap check -q c$n.vmsnap
done
vmsnap convert -q c3.vmsnap alone.vmsnap
expect 0 vmsnap compare alone.vmsnap c3.vmsnap
vmsnap convert -q -B base.vmsnap c3.vmsnap short.vmsnap
mkdir apart
mv alone.vmsnap apart
expect 0 vmsnap compare apart/alone.vmsnap r3
rm c1.vmsnap c2.vmsnap
expect 0 vmsnap compare short.vmsnap r3
expect 7 vmsnap compare c3.vmsnap r3
says "c3.vmsnap: its parent 'c2.vmsnap' with the digest "
# How the parent stores its content is its own affair.
vmsnap convert -q -o codec=lz4,block_size=1M base.vmsnap base.vmsnap
expect 0 vmsnap compare short.vmsnap r3
expect 0 vmsnap check -q short.vmsnap

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A difference is the same bytes whatever the number of threads, from a file, a pipe or another snapshot.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_chain 1
vmsnap convert -q r1 alone.vmsnap
for options in delta=auto delta=xor codec=lz4,block_size=16K delta=dictionary,block_size=1M codec=store; do
  for threads in 1 2 7; do
    vmsnap convert -q -j $threads -o $options -B base.vmsnap r1 $threads.vmsnap
    vmsnap convert -q -j $threads -o $options -B base.vmsnap alone.vmsnap again$threads.vmsnap
    vmsnap convert -q -j $threads -o $options -B base.vmsnap -f raw - pipe$threads.vmsnap < <(cat r1)
    expect 0 vmsnap convert -q -j $threads -O raw $threads.vmsnap back
    same r1 back
  done
  for kind in '' again pipe; do
    same ${kind}1.vmsnap ${kind}2.vmsnap
    same ${kind}1.vmsnap ${kind}7.vmsnap
  done
done

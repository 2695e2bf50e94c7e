#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same input and options give the same bytes, however many threads work.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_ram ram 12
for options in codec=zstd codec=lz4,block_size=1M codec=store; do
  for threads in 1 2 7; do
    expect 0 vmsnap convert -q -j $threads -o $options ram $threads.vmsnap
    cat ram | "$VMSNAP" convert -q -j $threads -o $options - pipe$threads.vmsnap
    expect 0 vmsnap convert -q -j $threads -O raw $threads.vmsnap back
    same ram back
  done
  same 1.vmsnap 2.vmsnap
  same 1.vmsnap 7.vmsnap
  same pipe1.vmsnap pipe2.vmsnap
  same pipe1.vmsnap pipe7.vmsnap
done
# Stored anew twice, by another way, it is what it was.
expect 0 vmsnap convert -q 1.vmsnap -o codec=zstd,block_size=256K other.vmsnap
expect 0 vmsnap convert -q other.vmsnap -j7 -o codec=store again.vmsnap
same 1.vmsnap again.vmsnap

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a command needs of memory does not grow with the guest: less than 64 MiB for 96 MiB and for 384.
source "$(dirname "$0")/lib.sh"
requires python3
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers need memory of their own"

make_ram piece 32
truncate -s 32M hole
for parts in 1 4; do
  for ((i = 0; i < parts; ++i)); do cat piece hole piece; done >ram
  for options in block_size=64K,codec=lz4 block_size=1M,codec=zstd; do
    peak 64 "$VMSNAP" convert -q -j2 -o $options ram x.vmsnap
    peak 64 "$VMSNAP" convert -q -j2 -O raw x.vmsnap back
    peak 64 "$VMSNAP" check -q -j2 x.vmsnap
  done
  same ram back
done

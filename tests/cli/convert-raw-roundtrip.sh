#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Raw memory comes back as it was, with every codec and block size, sparse where it is zero.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_ram ram 8
truncate -s +1000 ram # a last page that is not whole
for options in codec=store codec=lz4 codec=lz4,level=-8 codec=lz4,level=9 codec=zstd codec=zstd,level=9,block_size=1M codec=lz4,block_size=16K block_size=4M; do
  expect 0 vmsnap convert -q -o "$options" ram "$options.vmsnap"
  expect 0 vmsnap check -q "$options.vmsnap"
  expect 0 vmsnap convert -q -O raw "$options.vmsnap" back
  same ram back
done
expect 0 vmsnap convert ram x.vmsnap
says ' -> '
[[ $(stat -c %a x.vmsnap) == 600 ]] || fail "mode $(stat -c %a x.vmsnap)"
(($(stat -c %s x.vmsnap) < $(stat -c %s ram) / 2)) || fail "not smaller"

truncate -s 64M zeros
expect 0 vmsnap convert -q zeros zeros.vmsnap
expect 0 vmsnap convert -q -O raw zeros.vmsnap back
same zeros back
(($(stat -c %b back) == 0)) || fail "zeros take room in the raw file"
: >nothing
expect 0 vmsnap convert -q nothing nothing.vmsnap
expect 0 vmsnap convert -q -O raw nothing.vmsnap back
same nothing back

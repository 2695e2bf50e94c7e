#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# compare: 0 same, 1 different and where, more than 1 where it cannot tell.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 4
vmsnap convert -q ram a.vmsnap
vmsnap convert -q -o codec=lz4,block_size=256K ram b.vmsnap
expect 0 vmsnap compare a.vmsnap b.vmsnap
prints same
expect 0 vmsnap compare a.vmsnap ram
expect 0 vmsnap compare ram a.vmsnap
expect 0 vmsnap compare ram ram
expect 0 vmsnap compare -q a.vmsnap b.vmsnap
[[ ! -s out ]] || fail "-q prints"

cp ram other
flip other 1234567
vmsnap convert -q other same-blocks.vmsnap
vmsnap convert -q -o block_size=1M other other-blocks.vmsnap
for pair in 'a.vmsnap same-blocks.vmsnap' 'a.vmsnap other-blocks.vmsnap' 'a.vmsnap other' 'other a.vmsnap' 'ram other'; do
  # shellcheck disable=SC2086
  expect 1 vmsnap compare $pair
  prints 'offset 1234567 (0x12d687)'
done
truncate -s +4096 other
expect 1 vmsnap compare a.vmsnap other
prints 'sizes differ'
vmsnap convert -q --name vga.vram ram renamed.vmsnap
expect 1 vmsnap compare a.vmsnap renamed.vmsnap
prints 'is not in'
expect 0 vmsnap compare --region vga.vram renamed.vmsnap ram
expect 8 vmsnap compare --region pc.ram renamed.vmsnap ram
expect 3 vmsnap compare a.vmsnap absent
head -c 5000 a.vmsnap >cut.vmsnap
expect 5 vmsnap compare a.vmsnap cut.vmsnap
expect 2 vmsnap compare - - <a.vmsnap

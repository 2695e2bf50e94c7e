#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A command line that makes no sense ends with 2 before any file is touched.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 1
vmsnap convert -q ram x.vmsnap
while read -r line; do
  # shellcheck disable=SC2086
  expect 2 vmsnap $line
  says 'vmsnap: '
  says "try 'vmsnap help'"
  absent result
done <<'LINES'

frobnicate
convert
convert ram
convert ram result more
convert --frobnicate ram result
convert -f exe ram result
convert -O qcow2 ram result
convert -O exe ram result
convert -j 0 ram result
convert -j many ram result
convert -o codec=rot13 ram result
convert -o codec=lz4,level=13 ram result
convert -o codec=lz4,level=0 ram result
convert -o level=0 ram result
convert -o level=3x ram result
convert -o codec=store,level=1 ram result
convert -o block_size=48K ram result
convert -o block_size=8M ram result
convert -o block_size=8K ram result
convert -o colour=red ram result
convert -o , ram result
convert -O raw -o codec=lz4 x.vmsnap result
convert -O vmsnap --region all x.vmsnap result
convert -l 1 ram result
convert --machine q35 ram result
convert --machine q35 x.vmsnap result
convert --lossless ram result
convert --name a x.vmsnap result
info
info --output=xml ram
check
check --repair -
compare ram
compare --region all ram x.vmsnap
compare --region ram x.vmsnap x.vmsnap
map
map --region a x.vmsnap extra
flatten
flatten -
flatten -o codec=rot13 x.vmsnap result
rebase x.vmsnap result
rebase -B x.vmsnap x.vmsnap
convert -B x.vmsnap -O raw x.vmsnap result
convert -o delta=none ram result
convert --all ram result
info --tree
info --tree --parent x.vmsnap .
help frobnicate
LINES
for line in --help --version help 'help convert' 'convert --help' 'help compare'; do
  # shellcheck disable=SC2086
  expect 0 vmsnap $line
  prints vmsnap
done

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flatten makes a child stand alone, beside it or in its place, which keeps its mode; its own children stay readable.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_chain 3
expect 0 vmsnap flatten c2.vmsnap alone.vmsnap
says 'alone.vmsnap: '
mkdir apart
cp alone.vmsnap apart
expect 0 vmsnap compare apart/alone.vmsnap r2
[[ $(stat -c %a alone.vmsnap) == 600 ]] || fail "a new file's mode"
cat c2.vmsnap | vmsnap flatten -q --parent . - - | cmp - alone.vmsnap || fail "through pipes"
vmsnap flatten -q -j1 -o codec=lz4,level=9,block_size=16K c2.vmsnap small-blocks.vmsnap
[[ $(vmsnap info --output=json small-blocks.vmsnap | grep -c '"block_bytes": 16384') == 1 ]] || fail "-o"

before=$(digest_of c2.vmsnap)
chmod 640 c2.vmsnap
expect 0 vmsnap flatten -q c2.vmsnap
[[ $(stat -c %a c2.vmsnap) == 640 && $(digest_of c2.vmsnap) == "$before" ]] || fail "mode or digest"
same c2.vmsnap alone.vmsnap
rm base.vmsnap c1.vmsnap
expect 0 vmsnap compare c2.vmsnap r2
expect 0 vmsnap compare c3.vmsnap r3
expect 0 vmsnap flatten c2.vmsnap
says 'c2.vmsnap: stands alone already'
same c2.vmsnap alone.vmsnap

# The block size is the source's.
vmsnap convert -q -B c2.vmsnap -o block_size=256K r3 c4.vmsnap
vmsnap flatten -q c4.vmsnap
[[ $(vmsnap info --output=json c4.vmsnap | grep -c '"block_bytes": 262144') == 1 ]] || fail "the block size of the source"
# What would be lost with it is not replaced.
expect 2 vmsnap flatten -q c3.vmsnap c2.vmsnap
says 'c2.vmsnap: is a parent of c3.vmsnap'
expect 2 vmsnap flatten -q - <c3.vmsnap
expect 4 vmsnap flatten -q r2 x.vmsnap
absent x.vmsnap
[[ $(names_in .) != *.tmp* ]] || fail "left $(names_in .)"

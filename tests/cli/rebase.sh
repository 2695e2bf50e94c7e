#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rebase gives a snapshot another parent: the same content, less of the chain needed, the mode kept.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_chain 3
digest=$(digest_of c3.vmsnap)
expect 0 vmsnap rebase -B base.vmsnap c3.vmsnap short.vmsnap
expect 0 vmsnap compare short.vmsnap c3.vmsnap
vmsnap convert -q -B base.vmsnap r3 direct.vmsnap
[[ $(digest_of short.vmsnap) == "$digest" ]] || fail "another digest"
chmod 604 c3.vmsnap
expect 0 vmsnap rebase -q -B base.vmsnap c3.vmsnap
[[ $(stat -c %a c3.vmsnap) == 604 ]] || fail "mode $(stat -c %a c3.vmsnap)"
same c3.vmsnap short.vmsnap
mkdir kept
mv c1.vmsnap c2.vmsnap kept
expect 0 vmsnap compare c3.vmsnap r3
expect 0 vmsnap check -q c3.vmsnap

# One that stands alone becomes a child, and says what that means for its own children.
vmsnap convert -q r2 alone.vmsnap
vmsnap convert -q -B alone.vmsnap r3 of-alone.vmsnap
expect 0 vmsnap rebase -q -B base.vmsnap alone.vmsnap
says 'alone.vmsnap: counts 1 parents now, and 0 before'
expect 7 vmsnap compare of-alone.vmsnap r3
says 'alone.vmsnap has that digest, but as many parents'
expect 0 vmsnap flatten -q alone.vmsnap
expect 0 vmsnap compare of-alone.vmsnap r3
expect 7 vmsnap rebase -q -B kept/c2.vmsnap c3.vmsnap result # whose parent is there, but not the parent's parent
says "kept/c1.vmsnap: its parent 'base.vmsnap'"
expect 0 vmsnap rebase -q -B kept/c2.vmsnap --parent . c3.vmsnap result
expect 0 vmsnap compare --parent kept --parent . result r3

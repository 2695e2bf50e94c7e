#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A difference gives the memory back, made from and read through files and pipes, and is small.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_chain 1
(($(stat -c %s c1.vmsnap) * 4 < $(stat -c %s base.vmsnap))) || fail "a small change is not small: $(stat -c %s c1.vmsnap)"
expect 0 vmsnap check -q c1.vmsnap
expect 0 vmsnap compare c1.vmsnap r1
expect 1 vmsnap compare c1.vmsnap base.vmsnap
vmsnap convert -q -O raw c1.vmsnap back
same r1 back
vmsnap convert -q -O raw c1.vmsnap - | cmp - r1 || fail "file to pipe"
cat r1 | vmsnap convert -q -f raw -B base.vmsnap - - | cat >piped.vmsnap
expect 0 vmsnap check -q piped.vmsnap
expect 0 vmsnap compare piped.vmsnap c1.vmsnap
# A pipe has no directory in which the parent could lie beside it.
cat piped.vmsnap | vmsnap convert -q --parent . -O raw - - | cmp - r1 || fail "pipe to pipe"
expect 7 vmsnap convert -q -O raw - back < <(cat piped.vmsnap)
says 'its parent'
# The other way round, and without any change at all.
vmsnap convert -q -B c1.vmsnap r0 undone.vmsnap
expect 0 vmsnap compare undone.vmsnap base.vmsnap
vmsnap convert -q -B base.vmsnap base.vmsnap nothing.vmsnap
[[ -z $(record nothing.vmsnap BLOCK) ]] || fail "an unchanged child has blocks"
expect 0 vmsnap compare nothing.vmsnap r0

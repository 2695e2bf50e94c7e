#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All snapshots of an old image: a base and its children, each what -l gives.
source "$(dirname "$0")/lib.sh"
requires python3 zstd

requires_legacy q2008-32m-disk.qcow2
zstd -dqf "$legacy/q2008-32m-disk.qcow2.zst" -o image.qcow2
expect 0 vmsnap convert --all image.qcow2 dir/
says 'dir/a.vmsnap: '
says 'dir/b.vmsnap: '
says 'dir/: 2 snapshots, '
[[ $(names_in dir) == 'a.vmsnap b.vmsnap ' ]] || fail "made $(names_in dir)"
[[ $(stat -c %a dir/a.vmsnap dir/b.vmsnap | sort -u) == 600 ]] || fail "modes"
for name in a b; do
  vmsnap convert -q -l $name image.qcow2 $name.vmsnap
  expect 0 vmsnap compare dir/$name.vmsnap $name.vmsnap
  expect 0 vmsnap check -q dir/$name.vmsnap
  vmsnap convert -q -O vmstate dir/$name.vmsnap state
  expect 0 vmsnap convert -q -O vmstate $name.vmsnap state2
  cmp state state2 || fail "$name: another VM state"
done
[[ $(vmsnap info --output=json dir/b.vmsnap | grep -c '"hint": "a.vmsnap"') == 1 ]] || fail "b is no child of a"
(($(stat -c %s dir/b.vmsnap) < $(stat -c %s b.vmsnap))) || fail "a child is not smaller"

# Again, the same; and all of them against another parent.
cp -r dir before
expect 0 vmsnap convert -q --all -j1 image.qcow2 dir
diff -r before dir || fail "other bytes"
expect 0 vmsnap convert -q --all -B a.vmsnap -o codec=lz4 image.qcow2 of-a
for name in a b; do
  [[ $(vmsnap info --output=json --parent . of-a/$name.vmsnap | grep -c '"depth": 1') == 1 ]] || fail "$name is no child"
  expect 0 vmsnap compare --parent . of-a/$name.vmsnap $name.vmsnap
done
expect 2 vmsnap convert -q --all -B dir/b.vmsnap image.qcow2 dir # which would replace what it builds upon
diff -r before dir || fail "changed"

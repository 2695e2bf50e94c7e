#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damage of a parent is told as that file's, whoever reads through it; and not as another's.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 2
cp c2.vmsnap good.vmsnap
read -r at _ < <(record base.vmsnap BLOCK)
flip base.vmsnap $((at + 100))
for command in "convert -q -O raw c2.vmsnap result" "convert -q c2.vmsnap result" "convert -q -O raw - result --parent ." "flatten c2.vmsnap result" "compare c2.vmsnap r2"; do
  # shellcheck disable=SC2086
  expect 4 vmsnap $command <c2.vmsnap
  says "its parent ./base.vmsnap: at offset $at: "
  absent result
done
expect 4 vmsnap check c2.vmsnap
prints "c2.vmsnap: parent: ./base.vmsnap: at offset $at: "
vmsnap check --output=json c2.vmsnap >report || true
[[ $(json report 'j[0]["damages"][0]["file"], j[0]["damages"][0]["kind"], j[0]["lost_bytes"]') == "('./base.vmsnap', 'parent', 0)" ]] || fail "$(cat report)"
expect 4 vmsnap convert -q -B c1.vmsnap r2 result
says "c1.vmsnap: its parent ./base.vmsnap: at offset $at: "
expect 0 vmsnap info c2.vmsnap
prints 'not known'
says "base.vmsnap: at offset $at: "

# A sound snapshot stored against a damaged parent, from a file and from a pipe; a sound child of another family, too.
mkdir other
vmsnap convert -q r2 other/alone.vmsnap
vmsnap convert -q -B other/alone.vmsnap r1 other/child.vmsnap
for source in other/alone.vmsnap other/child.vmsnap; do
  expect 4 vmsnap convert -q -B base.vmsnap $source result
  says "vmsnap: base.vmsnap: at offset $at: "
  expect 4 vmsnap convert -q -B base.vmsnap --parent other - result < <(cat $source)
  says "vmsnap: base.vmsnap: at offset $at: "
done
expect 4 vmsnap convert -q -B other/alone.vmsnap c2.vmsnap result
says "vmsnap: c2.vmsnap: its parent ./base.vmsnap: at offset $at: "
expect 4 vmsnap convert -q -B other/alone.vmsnap --parent . - result < <(cat c2.vmsnap)
says "its parent ./base.vmsnap: at offset $at: "
absent result

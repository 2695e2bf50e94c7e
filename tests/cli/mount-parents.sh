#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mounted child has its parent's folder in its own, and that one its parent's, each with its own content.
source "$(dirname "$0")/lib.sh"
requires cmp
requires_view

make_chain 2
mkdir view elsewhere
mv base.vmsnap elsewhere/renamed
chmod 440 elsewhere/renamed
expect 7 vmsnap mount c2.vmsnap view
says base.vmsnap
[[ -z $(names_in view) ]] || fail "mounted without its parent"
expect 0 vmsnap mount --parent elsewhere/renamed c2.vmsnap view
at=view
known="{key: j[key] for key in j if key not in ('file', 'chain', 'cold_read')}"  # where files are, and what they cost
for n in 2 1 0; do
  same $at/ram r$n
  same $at/regions/ram r$n
  vmsnap convert -q -O elf r$n elf
  same $at/ram.elf elf
  file=c$n.vmsnap
  [[ $n != 0 ]] || file=elsewhere/renamed
  [[ $(json $at/info.json 'j["digest"]') == "$(digest_of $file)" ]] || fail "$at: another digest"
  vmsnap info --output=json --parent elsewhere/renamed $file >info
  [[ $(json $at/info.json "$known") == "$(json info "$known")" ]] || fail "$at/info.json differs"
  [[ $(json $at/map.json 'j["changes"]') == "$(vmsnap map --output=json $file | python3 -c 'import json, sys; print(json.load(sys.stdin))')" ]] || fail "$at/map.json differs"
  at+=/parent
done
[[ $(json view/map.json 'j["parent"]') == "$(json view/parent/info.json 'j["digest"]')" ]] || fail "another parent"
absent view/parent/parent/parent
[[ $(stat -c %a view/parent/parent/ram) == 440 && $(stat -c %a view/ram) == 600 ]] || fail "modes"
cd view/parent/parent && [[ $(cd .. && stat -c %i .) == $(cd "$work"/view/parent && stat -c %i .) ]] || fail ".. of a parent"
cd "$work"
vmsnap umount view

# By -o, as mount(8) gives it.
vmsnap mount -o ro,parent=elsewhere/renamed c1.vmsnap view
same view/parent/ram r0
vmsnap umount view
expect 7 vmsnap mount -o parent=c2.vmsnap c1.vmsnap view

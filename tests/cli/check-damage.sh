#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every damaged byte is found, what is lost by it is said, and none of it is given back.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 4
vmsnap convert -q --name pc.ram -o codec=lz4 ram good.vmsnap
size=$(stat -c %s good.vmsnap)
for ((i = 0; i < 40; i++)); do
  cp good.vmsnap bad.vmsnap
  flip bad.vmsnap $((size * i / 40 + i % 7))
  status=0
  vmsnap check --output=json bad.vmsnap >report 2>err || status=$?
  [[ $status == [4-6] ]] || fail "bit $i: status $status"
  [[ $status != 4 ]] || grep -q '"damage_count": [1-9]' report || [[ -s err ]] || fail "bit $i: no damage listed"
done

# One block in the middle: its range, and only that, is lost.
read -r _ at bytes < <(records good.vmsnap | grep BLOCK | sed -n 20p)
cp good.vmsnap bad.vmsnap
flip bad.vmsnap $((at + bytes - 1))
expect 4 vmsnap check bad.vmsnap
prints "bad.vmsnap: block: at offset $at"
prints 'bad.vmsnap: lost: pc.ram 0x'
prints 'cannot be repaired'
status=0
vmsnap check --output=json bad.vmsnap >report || status=$?
[[ $status == 4 ]] || fail "json: $status"
[[ $(json report 'j[0]["status"], j[0]["repairable"], j[0]["lost_bytes"] >= 65536, j[0]["lost"][0]["region"]') == "('damaged', False, True, 'pc.ram')" ]] || fail "$(cat report)"
expect 4 vmsnap convert -q -O raw bad.vmsnap back
says "bad.vmsnap: at offset"
expect 4 vmsnap convert -q -o codec=store bad.vmsnap back
expect 4 vmsnap convert -q -O raw - back < <(cat bad.vmsnap)
absent back
expect 4 vmsnap check --repair bad.vmsnap
expect 4 vmsnap check good.vmsnap bad.vmsnap good.vmsnap
prints 'good.vmsnap: clean'

# A damaged beginning does not make it raw memory.
for at in 0 1 2 3 4 5 6 7; do
  cp good.vmsnap bad.vmsnap
  flip bad.vmsnap "$at"
  expect 4 vmsnap convert -q -O raw bad.vmsnap back
  expect 4 vmsnap convert -q bad.vmsnap back
done

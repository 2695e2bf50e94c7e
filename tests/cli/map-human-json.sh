#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# map lists exactly the pages that differ from the parent, with their guest addresses, for people and for programs.
source "$(dirname "$0")/lib.sh"
requires python3 zstd

make_chain 1
expect 0 vmsnap map c1.vmsnap
prints "$(wc -w <changed1) of 1024 pages differ from the parent ("
vmsnap map --output=json c1.vmsnap >map.json
listed='sorted(p for r in j for p in range(r["offset"] // 4096, (r["offset"] + r["bytes"]) // 4096))'
[[ $(json map.json "tuple($listed)") == "($(sed 's/ /, /g' changed1))" ]] || fail "other pages: $(json map.json "$listed")"
for zero in True False; do
  json map.json "' '.join(str(r['offset']) + ':' + str(r['bytes']) for r in j if r['zero'] == $zero)" | tr ' ' '\n' >ranges
  while IFS=: read -r at bytes; do
    [[ $(tail -c +$((at + 1)) r1 | head -c "$bytes" | tr -d '\0' | wc -c) == 0 ]] && is=True || is=False
    [[ $is == "$zero" ]] || fail "zero at $at is not $zero"
  done <ranges
done
(($(grep -c '  zero' out) == $(json map.json 'sum(r["zero"] for r in j)'))) || fail "zero for people and programs"

# One that stands alone: what is not zero.
expect 0 vmsnap map base.vmsnap
prints "$(python3 -c 'd = open("r0", "rb").read(); print(sum(any(d[i:i + 4096]) for i in range(0, len(d), 4096)))') of 1024 pages are not zero"
vmsnap convert -q -B base.vmsnap r0 nothing.vmsnap
[[ $(vmsnap map --output=json nothing.vmsnap) == '[]' ]] || fail "no change is an empty list"
expect 4 vmsnap map r0

requires_legacy q2008-16m-one.qcow2
zstd -dqf "$legacy/q2008-16m-one.qcow2.zst" -o image.qcow2
vmsnap convert -q image.qcow2 guest.vmsnap
expect 0 vmsnap map --region pc.ram guest.vmsnap
prints '(guest 0x'
vmsnap map --region pc.ram --output=json guest.vmsnap >map.json
[[ $(json map.json 'all(sum(g["bytes"] for g in r["guest"]) <= r["bytes"] for r in j) and any(g["guest_address"] >= 0x100000 for r in j for g in r["guest"])') == True ]] || fail "guest addresses"
[[ $(json map.json 'set(r["region"] for r in j)') == "{'pc.ram'}" ]] || fail "regions"
[[ $(vmsnap map --output=json guest.vmsnap | python3 -c 'import json, sys; print(sorted(set(r["region"] for r in json.load(sys.stdin))))') == "['pc.bios', 'pc.ram', 'vga.vram']" ]] || fail "all regions"
expect 8 vmsnap map --region nowhere guest.vmsnap

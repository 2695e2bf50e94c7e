#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# info of a difference: its parents as they are found, and what reading costs; without them all that it says of itself.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 3
check() { [[ $(json info.json "$1") == True ]] || fail "$1: $(cat info.json)"; }
vmsnap info --output=json c3.vmsnap >info.json
check '[each["file"] for each in j["chain"]] == ["./c2.vmsnap", "./c1.vmsnap", "./base.vmsnap"] and j["depth"] == 3'
check "[each['file_bytes'] for each in j['chain']] == [$(stat -c %s, c2.vmsnap c1.vmsnap base.vmsnap)] and [each['depth'] for each in j['chain']] == [2, 1, 0]"
check "j['chain'][2]['digest'] == '$(digest_of base.vmsnap)' and j['parent'] == {'digest': '$(digest_of c2.vmsnap)', 'hint': 'c2.vmsnap'}"
check 'list(j["cold_read"]) == "pages mean_files mean_bytes worst_files worst_bytes".split() and j["cold_read"]["pages"] == 1024'
check '1 <= j["cold_read"]["worst_files"] <= 4 and 0 < j["cold_read"]["mean_files"] < j["cold_read"]["worst_files"]'
check '0 < j["cold_read"]["mean_bytes"] < j["cold_read"]["worst_bytes"] < 4 * 65536 + 8192'
check 'j["regions"][0]["zero_share"] is None and 0 < j["regions"][0]["stored_blocks"] < 64'
expect 0 vmsnap info c3.vmsnap
prints '  3  ./base.vmsnap, '
prints ' blocks stored, the others as in the parent'
grep -qE '^cold read: +of a page: [0-9.]+ files and .* on average, [1-4] files? and .* at worst$' out || fail "$(cat out)"

rm c1.vmsnap
expect 0 vmsnap info --output=json c3.vmsnap
says "c2.vmsnap: its parent 'c1.vmsnap' with the digest"
mv out info.json
check '[each["found"] for each in j["chain"]] == [True, False] and j["chain"][1]["hint"] == "c1.vmsnap" and j["cold_read"] is None'
check 'j["regions"][0]["name"] == "ram" and j["regions"][0]["blocks"] == 64 and j["metadata"]["source.format"] == "raw" and len(j["digest"]) == 64'
expect 0 vmsnap info c3.vmsnap
prints "  2  'c1.vmsnap' not found"
prints 'cold read:   not known'
rm c2.vmsnap
expect 0 vmsnap info c3.vmsnap
prints "  1  'c2.vmsnap' not found"
prints 'digest:'
vmsnap info - <c3.vmsnap >out 2>err
prints "'c2.vmsnap' not found"
# Reading costs what it says: a whole page map of a base without parents is told by map, not here.
expect 0 vmsnap info --output=json base.vmsnap
mv out info.json
check '"chain" not in j and "cold_read" not in j and j["regions"][0]["zero_share"] > 0'

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# info --output=json: the keys that vmsnap(1) promises.
source "$(dirname "$0")/lib.sh"
requires python3 zstd

make_ram ram 4
vmsnap convert -q --name pc.ram ram x.vmsnap
vmsnap info --output=json x.vmsnap >info.json
check() { [[ $(json "$1" "$2") == True ]] || fail "$2: $(cat "$1")"; }
check info.json 'list(j) == "file format file_bytes format_version digest block_bytes memory_bytes state_bytes ratio regions states metadata".split()'
check info.json "j['format'] == 'vmsnap' and j['format_version'] == 1 and j['file_bytes'] == $(stat -c %s x.vmsnap)"
check info.json 'len(j["digest"]) == 64 and j["block_bytes"] == 65536 and j["memory_bytes"] == 4 << 20 and 0 < j["ratio"] < 1'
check info.json 'list(j["regions"][0]) == "name bytes digest blocks stored_blocks zero_share guest_page_bytes placements".split()'
check info.json 'j["regions"][0]["name"] == "pc.ram" and j["regions"][0]["blocks"] == 64 and j["regions"][0]["stored_blocks"] == 51'
expect 0 vmsnap info x.vmsnap
prints 'pc.ram'
prints '51 of 64 blocks stored'

vmsnap info --output=json ram >info.json
check info.json 'j == {"file": "ram", "format": "raw", "file_bytes": 4 << 20}'
vmsnap check --output=json x.vmsnap x.vmsnap >report
check report 'len(j) == 2 and j[0]["status"] == "clean" and j[0]["complete"] and j[0]["damages"] == [] == j[0]["lost"] and j[0]["blocks_checked"] >= 51'

requires_legacy q2008-32m-disk.qcow2
zstd -dqf "$legacy/q2008-32m-disk.qcow2.zst" -o image.qcow2
vmsnap info --output=json image.qcow2 >info.json
check info.json 'j["format"] == "qcow2" and [(s["id"], s["name"], s["vm_state_bytes"]) for s in j["snapshots"]] == [("1", "a", 2528112), ("2", "b", 2532540)]'
check info.json 'list(j["snapshots"][0]) == "id name vm_state_bytes date_sec date_nsec vm_clock_nsec disk_bytes".split()'

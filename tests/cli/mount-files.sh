#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mounted snapshot shows memory by guest address and by region, states, an ELF core, and what info and map say.
source "$(dirname "$0")/lib.sh"
requires cmp
requires_view

# RAM in two places with a gap of 4 GiB between them, and a tail that is no page.
make_ram ram 4
python3 - <<'PYTHON'
import struct
ram, rom = open("ram", "rb").read(), bytes(range(256)) * 100
loads = [(0, 0x1000, len(ram)), (0x100000000, 0x1000 + len(ram), len(rom))]
head = struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
for address, offset, size in loads:
    head += struct.pack("<IIQQQQQQ", 1, 0, offset, address, address, size, size, 0)
open("core", "wb").write(head.ljust(0x1000, b"\0") + ram + rom)
PYTHON
vmsnap convert -q core x.vmsnap
vmsnap convert -q -O raw x.vmsnap memory
vmsnap convert -q -O elf x.vmsnap elf
chmod 640 x.vmsnap
mkdir view
expect 0 vmsnap mount x.vmsnap view
[[ ! -s out && ! -s err ]] || fail "says $(cat out err)"
[[ $(names_in view) == 'info.json map.json ram ram.elf regions regions/ram state ' ]] || fail "$(names_in view)"
same view/regions/ram memory
same view/ram.elf elf
[[ $(stat -c %s view/ram) == $((0x100000000 + 25600)) ]] || fail "ram has $(stat -c %s view/ram) bytes"
cmp -n $((4 << 20)) view/ram ram || fail "ram"
tail -c 25600 view/ram | cmp - <(tail -c 25600 memory) || fail "the end of ram"
vmsnap info --output=json x.vmsnap >info
same view/info.json info
vmsnap map --output=json x.vmsnap >map
cat view/map.json >seen
[[ $(json seen 'j["changes"]') == "$(json map j)" ]] || fail "other changes"
[[ $(json seen '(j["digest"], j["parent"], j["block_bytes"], j["regions"][0]["bytes"])') == "('$(digest_of x.vmsnap)', None, 65536, 4219904)" ]] || fail "$(head -c 300 seen)"

# Whose they are and who may read them is as with the snapshot; they can be opened as a VMM opens memory files.
for path in view view/regions view/ram view/info.json; do
  [[ $(stat -c %u.%g.%Y $path) == "$(stat -c %u.%g.%Y x.vmsnap)" ]] || fail "$path: $(stat -c %u.%g.%Y $path)"
done
[[ $(stat -c %a view view/ram | tr '\n' ' ') == '550 640 ' ]] || fail "modes $(stat -c %a view view/ram)"
expect 0 vmsnap umount view
expect 8 vmsnap umount view

# Names of regions and states become names of files.
make_ram tail 1
head -c 5000 ram >odd
long=$(printf 'n%.0s' {1..300})
states=('a/b' 'a%2Fb' '.' '..' '.hidden' $'new\nline' 'grüße' "$long" "${long}2")
options=()
for state in "${states[@]}"; do options+=(--state "$state=odd"); done
vmsnap convert -q --name '../ram%' "${options[@]}" tail odd.vmsnap
vmsnap mount odd.vmsnap view
same view/ram tail
same view/regions/%2E.%2Fram%25 tail
python3 - "${long:0:231}" <<'PYTHON'
import os, sys
from view import bytes_of
names = ["a%2Fb", "a%252Fb", "%2E", "%2E.", "%2Ehidden", "new%0Aline", "grüße", sys.argv[1] + "%%8", sys.argv[1] + "%%9"]
seen = sorted(os.fsencode(name) for name in os.listdir("view/state"))
assert seen == sorted(name.encode() for name in names), seen
for name in seen: assert bytes_of(b"view/state/" + name) == bytes_of("odd"), name
PYTHON
vmsnap umount view

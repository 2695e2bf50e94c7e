#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ELF cores of guest memory: in from a file and a pipe, out again, and out of snapshots of other kinds.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_ram ram 4
# As QEMU writes it: RAM at no round place of the file, firmware under 4 GiB, the names of the sections behind.
python3 - <<'PYTHON'
import struct
ram = open("ram", "rb").read()
rom = bytes(range(256)) * 256
notes = struct.pack("<III8s8s", 5, 8, 1, b"CORE", b"processor"[:8])
at = 64 + 64 + 3 * 56 + 16
loads = [(4, 0, at, len(notes)), (1, 0, at + len(notes), len(ram)), (1, 0xfffc0000, at + len(notes) + len(ram), len(rom))]
head = struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 4, 62, 1, 0, 128, 64, 0, 8, 56, 3, 64, 1, 0) + bytes(64)
for kind, address, offset, size in loads:
    head += struct.pack("<IIQQQQQQ", kind, 0, offset, address, address, size, size, 0)
core = head.ljust(at, b"\0") + notes + ram + rom
open("core", "wb").write(core + b"\0.shstrtab\0")
open("memory", "wb").write(ram + rom)
open("cut", "wb").write(core[:-1])
PYTHON

# segments FILE: the segments of an ELF64 core, and their bytes by address in the file "shown".
segments() {
  python3 - "$1" <<'PYTHON'
import struct, sys
core = open(sys.argv[1], "rb").read()
at, count = struct.unpack_from("<Q", core, 32)[0], struct.unpack_from("<H", core, 56)[0]
shown = b""
for i in range(count):
    kind, _, offset, virtual, physical, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", core, at + i * 56)
    content = core[offset:offset + in_file]
    assert len(content) == in_file
    print(kind, hex(physical), in_memory if kind == 1 else content)
    if kind == 1: assert virtual == physical and in_file == in_memory and (offset - physical) % 4096 == 0
    if kind == 1: shown += content
open("shown", "wb").write(shown)
PYTHON
}

expect 0 vmsnap convert core file.vmsnap
vmsnap convert -q - piped.vmsnap < <(cat core)
expect 0 vmsnap compare file.vmsnap piped.vmsnap
expect 0 vmsnap info file.vmsnap
prints 'guest 0x0-0x3fffff is at 0x0'
prints 'guest 0xfffc0000-0xfffcffff is at 0x400000'
prints elf.notes
vmsnap convert -q -O raw file.vmsnap back
same back memory
expect 0 vmsnap compare core file.vmsnap

expect 0 vmsnap convert -q -O elf file.vmsnap again
segments again >told
grep -q '^4 0x0 .*CORE.*processo' told || fail "other notes: $(cat told)"
grep -qx '1 0x0 4194304' told && grep -qx '1 0xfffc0000 65536' told || fail "other segments: $(cat told)"
same shown memory
vmsnap convert -q -O elf file.vmsnap - | cmp - again || fail "other bytes through a pipe"
expect 0 vmsnap convert -q -O elf core from-core
same from-core again
expect 0 vmsnap compare again file.vmsnap

# Raw memory begins at 0, or where the machine has it; what Linux keeps for dumps is found.
printf 'OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=0\n' | dd of=ram bs=4096 seek=700 conv=notrunc,sync status=none
expect 0 vmsnap convert -q -f raw ram raw.vmsnap
expect 0 vmsnap convert -q -O elf raw.vmsnap raw.elf
segments raw.elf >told
grep -qx '1 0x0 4194304' told && grep -q '^4 .*VMCOREINFO.*OSRELEASE=6.1.n' told || fail "other segments: $(cat told)"
same shown ram
expect 0 vmsnap convert -q -O elf --machine virt raw.vmsnap raw.elf
segments raw.elf >told
grep -qx '1 0x40000000 4194304' told || fail "other segments: $(cat told)"
expect 2 vmsnap convert -q -O elf --machine toaster raw.vmsnap x
absent x

expect 5 vmsnap convert -q cut x
says 'the ELF core ends early'
expect 5 vmsnap convert -q - x < <(cat cut)
absent x

# A mapped-ram file has the devices' state as well, and is no pipe's.
expect 8 vmsnap convert -q -O mapped-ram raw.vmsnap x
says 'not made of a migration stream'
vmsnap convert -q -O mapped-ram raw.vmsnap - 2>err | cat >out && fail "mapped-ram into a pipe"
says 'is no file'
absent x

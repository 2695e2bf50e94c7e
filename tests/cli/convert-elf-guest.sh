#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An ELF core of a real Linux shows its memory at the kernel's virtual addresses: its name and its lists are found there, by the core's
# own segments, and by gdb, crash and drgn where they are installed.
source "$(dirname "$0")/lib.sh"
requires_guest

python3 - <<'PYTHON'
import os, shutil, struct, subprocess
from guest import Guest, newest_kernel

RELEASE = os.path.basename(newest_kernel()).removeprefix("vmlinuz-")

def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout

with Guest("a") as guest:
    guest.wait_tick()
    run(os.environ["VMSNAP"], "save", "--qmp", guest.socket, "-q", "-o", "codec=lz4", "a.vmsnap")
run(os.environ["VMSNAP"], "convert", "-q", "-O", "elf", "a.vmsnap", "core")

core = open("core", "rb").read()
at, count = struct.unpack_from("<Q", core, 32)[0], struct.unpack_from("<H", core, 56)[0]
segments = [struct.unpack_from("<IIQQQQQQ", core, at + i * 56) for i in range(count)]
notes = next(core[offset:offset + size] for kind, _, offset, _, _, size, *_ in segments if kind == 4)
info = notes[notes.index(b"OSRELEASE="):].decode("ascii", "replace")
symbols = {line[7:line.index(")")]: int(line.split("=")[1], 16) for line in info.splitlines() if line.startswith("SYMBOL(")}

def read(address, size):
    for kind, _, offset, virtual, _, there, *_ in segments:
        if kind == 1 and virtual <= address <= virtual + there - size: return core[offset + address - virtual:][:size]
    raise AssertionError(f"nothing shows {address:#x}: {segments}")

def pointer(address): return struct.unpack("<Q", read(address, 8))[0]

name = read(symbols["init_uts_ns"], 390)
assert name.startswith(b"Linux\0") and name[130:].startswith(RELEASE.encode() + b"\0"), name
areas = symbols["vmap_area_list"]
first = pointer(areas)
assert pointer(first + 8) == areas, "the list does not lead back from the memory to the image"
area, end = pointer(first - 40), pointer(first - 32)  # struct vmap_area: va_start, va_end, rb_node, list
assert area % 4096 == 0 and area < end and area >= 0xffff800000000000, (hex(area), hex(end))

missing = []
if shutil.which("gdb"):
    told = run("gdb", "-nx", "-batch", "-ex", f"x/s {symbols['init_uts_ns'] + 130:#x}", "-c", "core")
    assert f'"{RELEASE}"' in told, told
else: missing.append("gdb")
if shutil.which("crash"): assert run("crash", "--osrelease", "core").strip() == RELEASE
else: missing.append("crash")
python = next((each for each in ("/usr/bin/python3", "python3") if subprocess.run([each, "-c", "import drgn"], stderr=subprocess.DEVNULL).returncode == 0), None)
if python:  # what no segment shows, through the page tables
    told = run(python, "-c", f"import drgn; p = drgn.Program(); p.set_core_dump('core'); print(p.read({symbols['init_uts_ns'] + 130}, {len(RELEASE)}), len(p.read({area}, 4096)))")
    assert told.strip() == f"{RELEASE.encode()} 4096", told
else: missing.append("drgn")
if missing: print("not installed, so not tried:", *missing)
PYTHON

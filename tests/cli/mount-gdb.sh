#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gdb reads what a guest's kernel says of itself out of a mounted snapshot, and grep its banner.
source "$(dirname "$0")/lib.sh"
requires cmp gdb
requires_guest
requires_view

python3 - <<'PYTHON'
import os, re, struct, subprocess
from guest import Guest, newest_kernel
from view import View, vmsnap

with Guest("a", ram_file="a.ram") as a:
    a.wait_tick()
    vmsnap("save", "--qmp", a.socket, "-q", "base.vmsnap")

def notes(path):
    """Of an ELF64 core: name -> content."""
    found = {}
    with open(path, "rb") as core:
        head = core.read(64)
        at, count = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
        core.seek(at)
        for kind, _, offset, _, _, size, _, _ in [struct.unpack("<IIQQQQQQ", core.read(56)) for _ in range(count)]:
            if kind != 4: continue
            core.seek(offset)
            text = core.read(size)
            while len(text) >= 12:
                name_bytes, bytes_, _ = struct.unpack_from("<III", text)
                begin = 12 + (name_bytes + 3) // 4 * 4
                found[text[12:12 + name_bytes].rstrip(b"\0").decode()] = text[begin:begin + bytes_]
                text = text[begin + (bytes_ + 3) // 4 * 4:]
    return found

release = os.path.basename(newest_kernel()).removeprefix("vmlinuz-")
with View("base.vmsnap"):
    assert os.system("cmp a.ram view/regions/pc.ram") == 0
    info = dict(line.split("=", 1) for line in notes("view/ram.elf")["VMCOREINFO"].decode().splitlines() if "=" in line)
    assert info["OSRELEASE"] == release, info
    # The kernel's image is mapped at this address, moved by phys_base; a structure in it is at its place in guest-physical memory.
    virtual = int(info["SYMBOL(init_uts_ns)"], 16) + int(info["OFFSET(uts_namespace.name)"])
    names = virtual - 0xffffffff80000000 + int(info["NUMBER(phys_base)"])
    with open("view/ram", "rb") as ram:
        ram.seek(names)
        sysname, nodename, found, version = [ram.read(65).rstrip(b"\0").decode() for _ in range(4)]
    assert (sysname, found) == ("Linux", release), (sysname, found)
    told = subprocess.run(["gdb", "-batch", "-nx", "-c", "view/ram.elf", "-ex", f"x/s {virtual:#x}", "-ex", f"x/s {virtual + 130:#x}"], capture_output=True, text=True)
    assert f'"{release}"' in told.stdout and '"Linux"' in told.stdout, told
    banner = subprocess.run(["grep", "-ao", f"Linux version {re.escape(release)}[ -~]*", "view/ram"], capture_output=True, text=True, env={"LC_ALL": "C"})
    assert any(version in line for line in banner.stdout.splitlines()), banner
PYTHON

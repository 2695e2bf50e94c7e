#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where a guest has no memory, or zeros, the files of a view have holes: SEEK_HOLE, SEEK_DATA, cp and du know them.
source "$(dirname "$0")/lib.sh"
requires cmp
requires_view

make_chain 2
python3 - <<'PYTHON'
import struct
ram = open("r2", "rb").read()
head = struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
for address, at in (0, 0), (0x140000000, 1 << 20):
    head += struct.pack("<IIQQQQQQ", 1, 0, 0x1000 + at, address, address, 1 << 20, 1 << 20, 0)
open("core", "wb").write(head.ljust(0x1000, b"\0") + ram[:2 << 20])
PYTHON
vmsnap convert -q -o block_size=16K core placed.vmsnap
make_ram r 4
vmsnap convert -q -o block_size=16K r fine.vmsnap
head -c 1000000 /dev/zero >z
vmsnap convert -q z zero.vmsnap

python3 - <<'PYTHON'
import errno, os, random
from view import View, bytes_of, refuses

def extents(fd, size):
    """What SEEK_DATA and SEEK_HOLE tell of a file: [begin, end) of each piece of data."""
    found, at = [], 0
    while at < size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            break
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        assert begin < at <= size
        found.append((begin, at))
    return found

def check(path, truth, exact=None):
    """`truth`: the size, and its pieces [begin, bytes], between which there is nothing. `exact`: blocks of so many bytes are as they are stored."""
    fd = os.open(path, os.O_RDONLY)
    size, pieces = truth
    assert os.fstat(fd).st_size == size
    found = extents(fd, size)
    for at, content in pieces:
        for block in range(0, len(content), exact or 65536):
            here = content[block:block + (exact or 65536)]
            covered = any(begin <= at + block and at + block + len(here) <= end for begin, end in found)
            assert covered or not any(here), f"{path}: {at + block} is no hole"
            assert not exact or covered == any(here), f"{path}: {at + block}: {covered}"
    for begin, end in found:
        assert any(at < end and begin < at + len(content) for at, content in pieces), (begin, end)
        assert os.lseek(fd, begin, os.SEEK_DATA) == begin
        inside = random.randrange(begin, end)
        assert (os.lseek(fd, inside, os.SEEK_DATA), os.lseek(fd, inside, os.SEEK_HOLE)) == (inside, end)
    for whence in os.SEEK_DATA, os.SEEK_HOLE:
        refuses([errno.ENXIO], os.lseek, fd, size, whence)
        refuses([errno.ENXIO], os.lseek, fd, size + 12345, whence)
    os.close(fd)
    return found

r, memory = bytes_of("r"), bytes_of("r2")
with View("fine.vmsnap"):
    check("view/regions/ram", (len(r), [(0, r)]), 16384)
with View("placed.vmsnap"):
    check("view/ram", (0x140100000, [(0, memory[:1 << 20]), (0x140000000, memory[1 << 20:2 << 20])]), 16384)
    assert os.system("cp --sparse=auto view/ram copy && cmp copy view/ram --bytes=3M && test $(du -k copy | cut -f1) -le 2048") == 0
    assert os.stat("view/ram").st_blocks * 512 <= 2 << 20
for name, truth in ("base", "r0"), ("c2", "r2"):
    with View(name + ".vmsnap"):
        content = bytes_of(truth)
        check("view/regions/ram", (len(content), [(0, content)]))
        assert bytes_of("view/regions/ram") == content
with View("zero.vmsnap"):
    assert check("view/ram", (1000000, [])) == []
    assert os.stat("view/ram").st_blocks == 0
    assert bytes_of("view/ram") == bytes(1000000)
    assert os.system("cp --sparse=auto view/ram copy && test $(du -k copy | cut -f1) -eq 0") == 0
PYTHON

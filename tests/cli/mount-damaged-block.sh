#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A damaged block of a view is an error for its own pages and no others, however they are read; the log names it once.
source "$(dirname "$0")/lib.sh"
requires_view

make_ram ram 4
vmsnap convert -q ram x.vmsnap
# One in the middle, which is not zero.
read -r at size < <(records x.vmsnap | awk '$1 == "BLOCK" && ++n == 20 { print $2, $3 }')
flip x.vmsnap $((at + size - 5))
vmsnap check --output=json x.vmsnap >check || true
python3 - "$at" <<'PYTHON'
import errno, json, mmap, os, signal, sys
from view import PAGE, View, bytes_of, vmsnap

truth = bytes_of("ram")
block = json.load(open("check"))[0]["lost"][0]
first, last = block["offset"], block["offset"] + block["bytes"]
assert block["bytes"] == 65536, block
PAGES = len(truth) // PAGE
BAD = set(range(first // PAGE, last // PAGE))
SAYS = "x.vmsnap: at offset " + sys.argv[1]

def fresh(path):
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return fd

def check(how, seen, bad=BAD):
    """`seen`: page -> its bytes; not those that could not be read."""
    wrong = sorted(set(range(PAGES)) - bad - seen.keys()), sorted(bad & seen.keys())
    assert wrong == ([], []), f"{how}: not readable: {wrong[0]}; readable: {wrong[1]}; damaged: {sorted(bad)}"
    assert all(content == truth[page * PAGE:][:PAGE] for page, content in seen.items()), how

def by_read(fd, length):
    """In reads of that length; after an error on behind the page it is about."""
    seen, at, end = {}, 0, os.fstat(fd).st_size
    while at < end:
        try:
            got = os.pread(fd, min(length, end - at), at)
        except OSError as error:
            assert error.errno == errno.EIO, error
            at += PAGE
            continue
        for page in range(0, len(got), PAGE): seen[(at + page) // PAGE] = got[page:page + PAGE]
        at += len(got)
    return seen

def by_map(fd, pages):
    """Each page touched by a child of its own kind: one that SIGBUS ends is followed by the next."""
    memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    seen, left = {}, list(pages)
    while left:
        get, put = os.pipe()
        if (child := os.fork()) == 0:
            os.close(get)
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            for page in left: os.write(put, page.to_bytes(4, "little") + memory[page * PAGE:page * PAGE + PAGE])
            os._exit(0)
        os.close(put)
        with os.fdopen(get, "rb") as pipe:
            while record := pipe.read(4 + PAGE): seen[int.from_bytes(record[:4], "little")] = record[4:]
        status = os.waitpid(child, 0)[1]
        left = [page for page in left if page not in seen]
        if status == 0: break
        assert status == signal.SIGBUS, status
        left.pop(0)
    return seen

for path in "view/ram", "view/regions/ram":
    with View("x.vmsnap", says=SAYS):
        for length in PAGE, 5 * PAGE, 65536, 1 << 20:
            fd = fresh(path)
            check(f"reads of {length}", by_read(fd, length))
            os.close(fd)
        fd = fresh(path)
        os.close(fd)
        fd = fresh(path)
        check("mapped, upwards", by_map(fd, range(PAGES)))
        os.close(fd)
        fd = fresh(path)
        check("mapped, downwards", by_map(fd, range(PAGES - 1, -1, -1)))
        os.close(fd)
# An ELF core has all the rest, behind its head.
with View("x.vmsnap", says=SAYS):
    fd = os.open("view/ram.elf", os.O_RDONLY)
    head = os.fstat(fd).st_size - len(truth)
    assert head > 0 and os.pread(fd, 4, 0) == b"\x7fELF"
    check("ram.elf", {page - head // PAGE: content for page, content in by_read(fd, 1 << 20).items() if page >= head // PAGE})
    os.close(fd)

# It is the parent's, which a child needs but for what it has itself.
whole = bytearray(truth)
for page in list(BAD)[:3]: whole[page * PAGE:page * PAGE + PAGE] = b"new " * (PAGE // 4)
os.rename("x.vmsnap", "damaged")
with open("ram", "wb") as file: file.write(truth)
vmsnap("convert", "-q", "ram", "x.vmsnap")
with open("ram", "wb") as file: file.write(whole)
vmsnap("convert", "-q", "-o", "delta=raw", "-B", "x.vmsnap", "ram", "child.vmsnap")
os.rename("damaged", "x.vmsnap")
truth = bytes(whole)
with View("child.vmsnap", says=SAYS):
    for length in PAGE, 1 << 20:
        fd = fresh("view/ram")
        check(f"of a child, reads of {length}", by_read(fd, length), BAD - set(list(BAD)[:3]))
        os.close(fd)
PYTHON

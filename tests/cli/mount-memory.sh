#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a view's server has resident stays below cache_size and 32 MiB: with large blocks, deep chains, many snapshots, many readers.
source "$(dirname "$0")/lib.sh"
[[ -z ${SNAP_SANITIZE:-} ]] || skip "a sanitizer's own memory counts too"
requires_view

python3 - <<'PYTHON'
import os, random, sys, time
from view import PAGE, View, places, vmsnap

SIZE, CACHE, OTHER = 40 << 20, 16, 32
rng = random.Random(1)
memory = bytearray(rng.randbytes(SIZE))
for at in range(0, SIZE, 64 << 10): memory[at:at + 16384] = bytes(at >> 12 & 255 for _ in range(16384))

def chain(name, depth, *options):
    """NAME0 … NAMEdepth, each a child of the one before, and the memory of the last."""
    now = bytearray(memory)
    for n in range(depth + 1):
        for _ in range(100):
            at = rng.randrange(SIZE // PAGE) * PAGE
            now[at:at + PAGE // 2] = rng.randbytes(PAGE // 2)
        with open("raw", "wb") as file: file.write(now)
        vmsnap("convert", "-q", "-o", ",".join(["codec=lz4", *options]) if n == 0 else "codec=lz4", *(["-B", f"{name}{n - 1}"] if n else []), "raw", f"{name}{n}")
    return bytes(now)

def read(number, paths, truth, seconds):
    rng = random.Random(number)
    end = time.monotonic() + seconds
    files = [os.open(path, os.O_RDONLY) for path in paths]
    for offset, length in places(rng, SIZE):
        fd = rng.choice(files)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(fd, length, offset) == truth[offset:offset + length]
        if time.monotonic() > end: return

def check(what, source, paths, truth, *options):
    with View(source, "view", "-o", f"cache_size={CACHE}M", *options) as view:
        children = []
        for number in range(16):
            if (child := os.fork()) == 0:
                try: read(number, paths, truth, 2)
                except BaseException: sys.excepthook(*sys.exc_info()); os._exit(1)
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 16
        print(f"{what}: {view.peak():.0f} MiB")
        return [] if view.peak() < CACHE + OTHER else [what]

truth = chain("a", 2)
failed = check("a child of a child", "a2", ["view/ram"], truth)
failed += check("64 threads", "a2", ["view/ram"], truth, "-o", "threads=16")
os.mkdir("many")
for n in range(20): os.link("a0", f"many/a{n}") if n == 0 else os.system(f"cp a2 many/x{n}")
os.link("a1", "many/a1")
failed += check("20 snapshots", "many", [f"view/x{n}/ram" for n in range(1, 20)], truth)
truth = chain("b", 10, "block_size=4M")
failed += check("10 parents, blocks of 4 MiB", "b10", ["view/ram"], truth)
assert not failed, failed
PYTHON

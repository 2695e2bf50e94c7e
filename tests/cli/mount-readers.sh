#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sixteen who read and map a child of a child at random see the true bytes, whatever the kernel has let go of meanwhile.
source "$(dirname "$0")/lib.sh"
requires_view

make_ram r0 24
python3 - <<'PYTHON'
import random
rng, memory = random.Random(1), bytearray(open("r0", "rb").read())
for name in "r1", "r2":
    for i in range(400):
        at = rng.randrange(len(memory) // 4096) * 4096
        memory[at:at + 4096] = (rng.randbytes(4096), bytes(4096), memory[at:at + 4000] + b"x" * 96)[i % 3]
    open(name, "wb").write(memory + (b"a tail that is no page" if name == "r2" else b""))
PYTHON
vmsnap convert -q -o codec=lz4 r0 c0.vmsnap
vmsnap convert -q -B c0.vmsnap r1 c1.vmsnap
vmsnap convert -q -B c1.vmsnap r2 c2.vmsnap

python3 - "${SEED:-$RANDOM}" <<'PYTHON'
import mmap, os, random, sys, time
from view import PAGE, View, bytes_of, places

print("SEED=" + sys.argv[1])
truth = bytes_of("r2")

def reader(number):
    rng = random.Random(f"{sys.argv[1]}.{number}")
    path = rng.choice(["view/ram", "view/regions/ram"])
    fd = os.open(path, rng.choice([os.O_RDONLY, os.O_RDWR]))
    kind = rng.choice([mmap.MAP_PRIVATE, mmap.MAP_SHARED])
    memory = mmap.mmap(fd, 0, kind, mmap.PROT_READ)
    direct = os.open(path, os.O_RDONLY | os.O_DIRECT)
    end = time.monotonic() + 3
    for offset, length in places(rng, len(truth)):
        if time.monotonic() > end: break
        how = rng.randrange(6)
        if how == 0: seen = memory[offset:offset + length]
        elif how == 1:  # at an odd place in memory that has to be aligned
            offset = offset // PAGE * PAGE
            room = mmap.mmap(-1, (length + PAGE - 1) // PAGE * PAGE)
            length = os.preadv(direct, [room], offset)
            assert length == min(len(room), len(truth) - offset)
            seen = room[:length]
        else: seen = os.pread(fd, length, offset)
        assert seen == truth[offset:offset + length], f"{path}, {how}: {length} bytes at {offset} are others"
        if rng.randrange(4) == 0: os.posix_fadvise(fd, rng.randrange(len(truth)), rng.randrange(4 << 20), os.POSIX_FADV_DONTNEED)
        if rng.randrange(8) == 0: memory.madvise(mmap.MADV_DONTNEED)
    assert os.pread(fd, 100, len(truth)) == b"" and os.pread(fd, 100, len(truth) - 1) == truth[-1:]

# Processes: Python's threads would wait for each other.
for options in ("-o", "cache_size=1M,threads=2"), ():
    with View("c2.vmsnap", "view", *options):
        children = []
        for number in range(16):
            if (child := os.fork()) == 0:
                try: reader(number)
                except BaseException: sys.excepthook(*sys.exc_info()); os._exit(1)
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 16
PYTHON

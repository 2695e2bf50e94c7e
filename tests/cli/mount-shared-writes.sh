#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is written through a shared mapping of a view is undone soon, whoever reads and writes on; a message says so.
source "$(dirname "$0")/lib.sh"
requires_view

make_ram ram 2
vmsnap convert -q ram x.vmsnap
python3 - <<'PYTHON'
import mmap, os, subprocess, sys, time
from view import PAGE, View, bytes_of, wait_until

SAYS = "somebody writes through a shared mapping, which is undone; QEMU needs share=off"
truth = bytes_of("ram")
WRITER = """
import mmap, os, sys, time
fd = os.open("view/ram", os.O_RDWR)
memory = mmap.mmap(fd, 0, mmap.MAP_SHARED)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for page in range(int(sys.argv[2]), len(memory), 16 * 4096):
        memory[page:page + 4] = b"mine"
    try: memory.flush()
    except OSError: pass
os._exit(0)
"""
READER = """
import os, sys, time
fd = os.open("view/ram", os.O_RDONLY)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert len(os.pread(fd, 1 << 20, 0)) == 1 << 20
"""

with View("x.vmsnap", says=SAYS) as view:
    fd = os.open("view/ram", os.O_RDWR)
    with mmap.mmap(fd, len(truth), mmap.MAP_SHARED) as shared:
        for page in range(0, len(truth), 3 * PAGE): shared[page:page + 5] = b"mine!"
        try: shared.flush()
        except OSError: pass
        wait_until("the true bytes", lambda: bytes_of("view/ram") == truth and bytes(shared) == truth, 10)
    os.close(fd)

# As fast as they can, from many sides, with one thread that answers and with many.
for threads in 1, 4:
    view = View("x.vmsnap", "view", "-o", f"threads={threads}", says=SAYS)
    busy = [subprocess.Popen([sys.executable, "-c", WRITER, "1.5", str(page * PAGE)]) for page in range(3)]
    busy += [subprocess.Popen([sys.executable, "-c", READER, "1.5"]) for _ in range(2)]
    end = time.monotonic() + 25
    try:
        for each in busy:
            assert each.wait(max(0.1, end - time.monotonic())) == 0
        wait_until("the true bytes", lambda: bytes_of("view/ram") == truth, 10)
    except BaseException:
        view.abandon()
        raise
    with view: pass
PYTHON

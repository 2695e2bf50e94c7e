#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A server that is killed under load: each of its readers gets an error within a second, and the mount can be taken away.
source "$(dirname "$0")/lib.sh"
requires_view

make_chain 1
python3 - "${SEED:-$RANDOM}" <<'PYTHON'
import errno, mmap, os, random, select, signal, sys, time
from view import SANITIZED, bytes_of, places, refuses, vmsnap

print("SEED=" + sys.argv[1])
rng = random.Random(sys.argv[1])
truth = bytes_of("r1")
GONE = [errno.ENOTCONN, errno.ECONNABORTED, errno.EIO]

def read(number, ready):
    """Until there is an error. Who reads a mapping is ended by SIGBUS."""
    rng = random.Random(number)
    fd = os.open("view/ram", os.O_RDONLY)
    memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    os.write(ready, b"1")
    try:
        for offset, length in places(rng, len(truth), 256 << 10):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if number == 0: seen = memory[offset:offset + length]
            elif number == 1: seen = bytes_of("view/ram")[offset:offset + length]
            else: seen = os.pread(fd, length, offset)
            # A read that an error cuts short gives what it had; the next one tells.
            if seen != truth[offset:offset + len(seen)]: os._exit(2)
    except OSError as error:
        os._exit(0 if error.errno in GONE else 3)

os.mkdir("view")
worst = 0.0
for _ in range(10 if SANITIZED else 100):
    vmsnap("mount", "c1.vmsnap", "view")
    server = int(os.getxattr("view", "user.vmsnap.server"))
    heard, ready = os.pipe()
    children = {}
    for number in range(4):
        if (child := os.fork()) == 0:
            read(number, ready)
        children[os.pidfd_open(child)] = child
    for each in children: os.read(heard, 1)
    os.close(heard), os.close(ready)
    time.sleep(rng.random() * 0.02)
    os.kill(server, signal.SIGKILL)
    killed = time.monotonic()
    for watch, child in children.items():
        in_time = select.select([watch], [], [], 20)[0]
        worst = max(worst, time.monotonic() - killed)
        assert in_time, "a reader hangs"
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGBUS), f"a reader ended with {status:#x}"
        os.close(watch)
    refuses([errno.ENOTCONN], os.listdir, "view")
    vmsnap("umount", "view")
    assert os.listdir("view") == []
print(f"{worst * 1000:.0f} ms at most")
assert worst < 1, f"an error after {worst} s"
PYTHON

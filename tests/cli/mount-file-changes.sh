#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot that is cut short while it is mounted gives errors, and what is still there; one that is removed, or its parent, all.
source "$(dirname "$0")/lib.sh"
requires_view

make_chain 1
python3 - <<'PYTHON'
import errno, os, shutil
from view import PAGE, View, bytes_of, wait_until

truth, child = bytes_of("r0"), bytes_of("r1")

def readable(fd, size, length):
    """Offsets at which so many bytes can be read, and are those of the truth."""
    seen = set()
    for at in range(0, size, length):
        try: got = os.pread(fd, length, at)
        except OSError as error:
            assert error.errno == errno.EIO, error
            continue
        assert got == truth[at:at + length], at
        seen.add(at)
    return seen

# Blocks are stored in their order: half of the file is about half of the memory.
os.link("base.vmsnap", "spare")
shutil.copy("base.vmsnap", "x.vmsnap")
size = os.path.getsize("x.vmsnap")
for left in size // 2, 0:
    shutil.copy("base.vmsnap", "x.vmsnap")
    view = View("x.vmsnap", "view", "-o", "cache_size=1M")
    fd = os.open("view/ram", os.O_RDONLY)
    assert os.pread(fd, 1 << 20, 3 << 20) == truth[3 << 20:]
    os.truncate("x.vmsnap", left)
    seen = readable(fd, len(truth), 65536)
    assert seen >= set(range(3 << 20, 4 << 20, 65536)), "the kernel has let go of it"
    assert len(seen) < 64
    if left: assert len(seen) > 16 + 20, sorted(seen)
    assert view.process.poll() is None
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    with open("x.vmsnap", "r+b") as file: file.write(bytes_of("spare"))  # as it was: nothing wrong is remembered
    assert bytes_of("view/ram") == truth
    assert "x.vmsnap: " in view.said()
    os.close(fd)
    os.system("umount view")
    assert view.process.wait(20) == 0, view.said()

# Removed.
shutil.copy("base.vmsnap", "x.vmsnap")
with View("x.vmsnap"):
    os.unlink("x.vmsnap")
    assert bytes_of("view/ram") == truth and bytes_of("view/ram.elf").endswith(truth[-PAGE:])
    assert len(bytes_of("view/map.json")) > 100 and bytes_of("view/info.json").startswith(b"{")

# The parent, while the child is mounted; in a directory too.
for source, folder in ("c1.vmsnap", "view"), ("shelf", "view/c1.vmsnap"):
    if source == "shelf":
        os.mkdir("shelf")
        for name in "base.vmsnap", "c1.vmsnap": shutil.copy(name if os.path.exists(name) else "spare", "shelf/" + name)
    with View(source):
        with open(folder + "/ram", "rb") as file:
            first = file.read(PAGE)
            parent = "base.vmsnap" if source != "shelf" else "shelf/base.vmsnap"
            os.unlink(parent)
            assert first + file.read() == child
            assert bytes_of(folder + "/ram.elf").endswith(child[-PAGE:])
            if source != "shelf": assert bytes_of("view/parent/ram") == truth
            else: wait_until("its parent's going", lambda: not os.path.exists(folder + "/parent/ram"), 5)
PYTHON

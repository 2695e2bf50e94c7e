#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What was read of a view is recorded in order; what a recording names is in the page cache before anybody reads, and right.
source "$(dirname "$0")/lib.sh"
requires_view

make_chain 1
python3 - <<'PYTHON'
import ctypes, mmap, os, time
from view import PAGE, View, bytes_of, refused, vmsnap, wait_until

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
truth = bytes_of("r1")
PAGES = len(truth) // PAGE

def cached(path):
    """The pages of a file that are in the page cache."""
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    at = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0))
    pages = (ctypes.c_ubyte * ((size + PAGE - 1) // PAGE))()
    assert libc.mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), pages) == 0
    libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
    os.close(fd)
    return {number for number, page in enumerate(pages) if page & 1}

def ranges(path):
    """Of a recording: pages."""
    lines = [line.split() for line in open(path) if not line.startswith("#")]
    assert all(name == "ram" for name, _, _ in lines), lines
    return [(int(at, 16) // PAGE, int(size, 16) // PAGE) for _, at, size in lines]

def order(path): return [page for first, count in ranges(path) for page in range(first, first + count)]

# In the order of first touch, and each once; the kernel may ask for more than was read.
with View("c1.vmsnap", "view", "--record", "w"):
    fd = os.open("view/ram", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    touched = [700, 3, 512, 3, 1023, 701, 100]
    for page in touched: assert os.pread(fd, PAGE, page * PAGE) == truth[page * PAGE:][:PAGE]
    os.close(fd)
    assert not os.path.exists("w"), "written before the end"
pages = order("w")
assert len(pages) == len(set(pages))
assert [pages.index(page) for page in (700, 3, 512, 1023, 100)] == sorted(pages.index(page) for page in (700, 3, 512, 1023, 100)), ranges("w")
assert len(pages) < PAGES // 2, "far more than was read"
assert vmsnap("info", "--output=json", "c1.vmsnap").split('"digest": "')[1][:64] in open("w").readline()
# A signal ends it as well; nothing read, nothing in it; one by an ELF core is of the same memory.
with View("c1.vmsnap", "view", "-o", "record=none") as view:
    view.process.terminate()
    view.ended()
assert ranges("none") == []
with View("c1.vmsnap", "view", "--record", "elf"):
    with open("view/ram.elf", "rb", buffering=0) as file: file.seek(-1, os.SEEK_END), file.read()
assert PAGES - 1 in order("elf")

def check(wanted, *options, source="c1.vmsnap"):
    with View(source, "view", *options):
        wait_until("what is wanted", lambda: cached("view/regions/ram") >= wanted, 20)
        assert cached("view/regions/ram") == wanted, "more than is wanted"
        assert bytes_of("view/regions/ram") == truth and bytes_of("view/ram") == truth

check(set(pages), "--prefetch", "w")
check(set(pages), "-o", "cache_size=1M,threads=1,prefetch=w")
vmsnap("working-set", "--store", "w", "c1.vmsnap")
check(set(pages))
for options in ("-o", "noprefetch"), ("-o", "noprefetch", "--prefetch", "w"), ("--prefetch", "none"):
    with View("c1.vmsnap", "view", *options):
        time.sleep(0.3)
        assert not cached("view/regions/ram"), options
# All of it.
with open("all", "w") as file: file.write(open("w").readline() + f"ram 0 {len(truth):x}\n")
check(set(range(PAGES)), "--prefetch", "all")

# In a directory what a snapshot has stored is used once one of its files is read, for as long as one is open.
os.mkdir("shelf")
for name in "base.vmsnap", "c1.vmsnap": os.link(name, "shelf/" + name)
with View("shelf"):
    for _ in range(2):
        assert not cached("view/base.vmsnap/regions/ram")
        assert not cached("view/c1.vmsnap/regions/ram"), "opened only"
        time.sleep(0.1)
    with open("view/c1.vmsnap/regions/ram", "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        assert file.read(PAGE) == truth[:PAGE]
        wait_until("what is wanted", lambda: cached("view/c1.vmsnap/regions/ram") >= set(pages), 20)
    assert bytes_of("view/c1.vmsnap/ram") == truth

# One of another snapshot, and hostile ones.
os.mkdir("m")
def hostile(status, why, text):
    with open("bad", "w") as file: file.write(text)
    refused(status, why, "mount", "--prefetch", "bad", "c1.vmsnap", "m")
first = open("w").readline()
hostile(4, "bad: line 1", "ram 0 1000\n")
hostile(4, "bad: line 3", first + "ram 0 1000\nram 0 1000\n")
hostile(4, "bad: line 2", first + f"ram 0 {len(truth) + PAGE:x}\n")
hostile(4, "bad: line 2", first + "ram fffffffffffff000 2000\n")
hostile(4, "bad: line 2", first + "other 0 1000\n")
refused(3, "nowhere", "mount", "--prefetch", "nowhere", "c1.vmsnap", "m")
PYTHON

# One that is damaged where it is stored is told of; the mount is there without it.
cp c1.vmsnap x.vmsnap
read -r at _ < <(record x.vmsnap 132)
flip x.vmsnap $((at + 48 + 6))
python3 - <<'PYTHON'
from view import View, bytes_of
with View("x.vmsnap", says="working set's check does not fit"): assert bytes_of("view/ram") == bytes_of("r1")
PYTHON
# A recording that cannot be written is refused before anything is mounted.
expect 3 vmsnap mount --record there/w c1.vmsnap view
says there/w
! mountpoint -q view || fail "mounted"

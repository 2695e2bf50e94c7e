#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A view can be opened for writing, as QEMU opens memory files, and never changes.
source "$(dirname "$0")/lib.sh"
requires cmp
requires_view

make_ram ram 2
vmsnap convert -q --state 'state=ram' ram x.vmsnap
sha x.vmsnap >before
python3 - <<'PYTHON'
import ctypes, errno, mmap, os
from view import PAGE, View, bytes_of, refuses

READ_ONLY = [errno.EROFS, errno.EACCES, errno.EPERM]
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
libc = ctypes.CDLL(None, use_errno=True)
truth = bytes_of("ram")

def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")

with View("x.vmsnap"):
    for path in "view/ram", "view/state/state", "view/info.json":
        fd = os.open(path, os.O_RDWR)
        old = os.pread(fd, 1 << 22, 0)
        refuses(READ_ONLY, os.pwrite, fd, b"x" * 5000, 100)
        refuses(READ_ONLY, os.pwrite, fd, b"x", len(old))
        refuses(READ_ONLY, os.ftruncate, fd, 0)
        refuses(READ_ONLY, os.ftruncate, fd, 1 << 30)
        refuses(READ_ONLY, os.fchmod, fd, 0o777)
        refuses(READ_ONLY, os.utime, fd)
        assert os.pread(fd, 1 << 22, 0) == old
        os.close(fd)
        refuses(READ_ONLY, os.open, path, os.O_RDWR | os.O_TRUNC)
        refuses(READ_ONLY, os.truncate, path, 100)
        refuses(READ_ONLY, os.chown, path, 1, 1)
        refuses([errno.ENODATA, errno.EOPNOTSUPP], os.getxattr, path, "user.other")
        refuses([*READ_ONLY, errno.EOPNOTSUPP], os.setxattr, path, "user.other", b"1")
        assert bytes_of(path) == old
    fd = os.open("view/ram", os.O_RDWR)
    size = os.fstat(fd).st_size
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, size)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 8192, 4096)
    fallocate(fd, 0, 0, size)
    for mode in 0, COLLAPSE, INSERT, ZERO, UNSHARE, PUNCH_HOLE, 1 << 20:
        refuses([*READ_ONLY, errno.EOPNOTSUPP, errno.EINVAL], fallocate, fd, mode, PAGE, size)
    assert os.fstat(fd).st_size == size and os.pread(fd, size, 0) == truth == bytes_of("view/ram")

    # A private mapping is its owner's.
    with mmap.mmap(fd, size, mmap.MAP_PRIVATE) as private:
        private[:5] = b"mine!"
        assert bytes_of("view/ram") == truth
        # Who truncates a file takes from all who map it what they wrote for themselves.
        refuses(READ_ONLY, os.open, "view/ram", os.O_RDWR | os.O_TRUNC)
        assert private[:5] == b"mine!"
    os.close(fd)

# Nothing can be made or taken away.
CHANGES = [(os.mkdir, "new"), (os.mknod, "new"), (os.symlink, "x", "new"), (os.link, "ram", "new"), (os.unlink, "ram"), (os.rename, "ram", "new"),
           (os.rmdir, "regions"), (os.open, "new", os.O_CREAT | os.O_WRONLY), (os.mkfifo, "regions/new"), (os.chmod, "regions", 0o777)]
for options in (), ("-o", "ro"):
    with View("x.vmsnap", "view", *options):
        here = os.getcwd()
        os.chdir("view")
        try:
            for call, *arguments in CHANGES:
                refuses([*READ_ONLY, errno.ENOSYS], call, *arguments)
            refuses([errno.ENOENT], os.stat, "new")
        finally:
            os.chdir(here)
        if options:
            refuses([errno.EROFS], os.open, "view/ram", os.O_RDWR)
        assert bytes_of("view/ram") == truth
PYTHON
[[ $(sha x.vmsnap) == "$(cat before)" ]] || fail "the snapshot was written"

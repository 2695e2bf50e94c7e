#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mounted directory has a folder for each snapshot, which comes, goes and is another one as the file is.
source "$(dirname "$0")/lib.sh"
requires_view

make_chain 2
mkdir shelf
cp base.vmsnap c1.vmsnap shelf
cp c2.vmsnap shelf/grandchild
cp base.vmsnap shelf/.hidden
mkdir shelf/folder
cp base.vmsnap shelf/folder
echo 'not a snapshot at all' >shelf/notes
: >shelf/nothing
mkfifo shelf/pipe
ln -s ../r0 shelf/link-to-raw
ln -s base.vmsnap shelf/link
ln -s nowhere shelf/link-to-nothing

python3 - <<'PYTHON'
import errno, mmap, os, shutil
from view import View, bytes_of, refuses, vmsnap, wait_until

truth = [bytes_of(f"r{n}") for n in range(3)]
SEEN = ["base.vmsnap", "c1.vmsnap", "grandchild", "link"]

def names(): return sorted(os.listdir("view"))

with View("shelf") as view:
    assert names() == SEEN, names()
    for name in set(os.listdir("shelf")) - set(SEEN):
        refuses([errno.ENOENT], os.stat, "view/" + name)
    refuses([errno.ENOENT], os.stat, "view/none")
    for name, n in ("base.vmsnap", 0), ("link", 0), ("c1.vmsnap", 1), ("grandchild", 2):
        assert bytes_of(f"view/{name}/ram") == truth[n], name
        assert sorted(os.listdir("view/" + name)) == ["info.json", "map.json", *(["parent"] if n else []), "ram", "ram.elf", "regions", "state"]
    # The parent's folder is the one beside it.
    assert os.readlink("view/c1.vmsnap/parent") == "../base.vmsnap"
    assert os.path.samefile("view/grandchild/parent/parent/ram", "view/base.vmsnap/ram")
    assert bytes_of("view/grandchild/parent/ram") == truth[1]

    # Appears, goes; what is open stays.
    shutil.copy("base.vmsnap", "shelf/new")
    assert "new" in names() and bytes_of("view/new/ram") == truth[0]
    with open("view/new/ram", "rb", buffering=0) as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        assert file.read(5000) == truth[0][:5000]
        os.unlink("shelf/new")
        assert "new" not in names()
        wait_until("its going", lambda: not os.path.exists("view/new"), 5)
        assert file.read() == truth[0][5000:] and memory[:] == truth[0]

    # Is another one, by rename and in place of one that goes.
    work = [bytes(reversed(truth[0][:1 << 20])), truth[0][1 << 20:3 << 20]]
    for number, content in enumerate(work):
        with open("raw", "wb") as file: file.write(content)
        vmsnap("convert", "-q", "raw", "other.vmsnap")
        before = bytes_of("view/link/ram")
        with open("view/base.vmsnap/ram", "rb", buffering=0) as file:
            first = file.read(4096)
            if number == 0: os.rename("other.vmsnap", "shelf/base.vmsnap")
            else:
                os.unlink("shelf/base.vmsnap")
                shutil.copy("other.vmsnap", "shelf/base.vmsnap")
            wait_until("the new one", lambda: bytes_of("view/base.vmsnap/ram") == content, 5)
            assert os.stat("view/base.vmsnap/ram").st_size == len(content)
            assert first + file.read() == before, "who had it open reads the old one"
        wait_until("the link's new one", lambda: bytes_of("view/link/ram") == content, 5)

    # Those that had the old one as parent still have it while they are open somewhere, and are not there afterwards.
    refuses([errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSYS], os.rmdir, "view/c1.vmsnap")
    os.rename("shelf/c1.vmsnap", "shelf/orphan")
    refuses([errno.ENOENT], os.listdir, "view/orphan")
    refuses([errno.ENOENT], os.stat, "view/orphan/ram")
    view.says = "shelf/orphan: "
    shutil.copy("base.vmsnap", "shelf/base.vmsnap")
    wait_until("the parent's return", lambda: os.path.exists("view/orphan/ram"), 5)
    assert bytes_of("view/orphan/ram") == truth[1]

# Parents in another place.
os.mkdir("parents")
os.rename("shelf/base.vmsnap", "parents/base.vmsnap")
for name in "link", "grandchild", ".hidden": os.unlink("shelf/" + name)
with View("shelf", "view", "--parent", "parents"):
    assert names() == ["orphan"], names()
    assert bytes_of("view/orphan/ram") == truth[1] and bytes_of("view/orphan/parent/ram") == truth[0]
PYTHON

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A directory mounted over itself, or into itself, does not wait for its own answers: it is refused, or works. Nor does one of whose names
# some lead into the mount.
source "$(dirname "$0")/lib.sh"
requires_view

make_ram ram 2
mkdir -p shelf/inside deep/in/shelf
vmsnap convert -q ram shelf/x.vmsnap
cp shelf/x.vmsnap deep/in/shelf
python3 - <<'PYTHON'
import os, subprocess, sys, time
from view import VMSNAP, View, is_mounted, vmsnap

LOOK = "import os, sys; from view import bytes_of; os.listdir(sys.argv[1]); [os.path.exists(sys.argv[1] + '/' + n) for n in ('none', 'inside', 'in')]; assert bytes_of(sys.argv[2]) == bytes_of('ram')"

for threads in 1, 4:
    for source, at, ram in (("shelf", "shelf", "shelf/x.vmsnap/ram"), ("shelf", "shelf/inside", "shelf/inside/x.vmsnap/ram"),
                            ("deep/in/shelf", "deep", "deep/x.vmsnap/ram"), ("shelf/x.vmsnap", "shelf", "shelf/ram")):
        view = subprocess.Popen([VMSNAP, "mount", "-f", "-o", f"threads={threads}", source, at], stderr=subprocess.PIPE, text=True)
        while view.poll() is None and not is_mounted(at): time.sleep(0.02)
        if view.poll() is not None:
            assert view.returncode in (2, 3) and at in view.stderr.read()
            continue
        try:
            looks = [subprocess.Popen([sys.executable, "-c", LOOK, at, ram]) for _ in range(6)]
            end = time.monotonic() + 10
            assert [look.wait(max(0.1, end - time.monotonic())) for look in looks] == [0] * 6, (source, at)
        finally:
            subprocess.run(["umount", "-f", at], capture_output=True)
            subprocess.run(["umount", "-l", at], capture_output=True)
        assert view.wait(20) in (0, 3)

os.makedirs("links")
os.makedirs("view")
os.link("shelf/x.vmsnap", "links/x.vmsnap")
INTO = {"loop": "../view/loop", "other": "../view/loop", "whole": "../view", "ram": "../view/x.vmsnap/ram", "in": "../view/none/x"}
for name, to in INTO.items(): os.symlink(to, "links/" + name)
vmsnap("convert", "-q", "-B", "shelf/x.vmsnap", "ram", "links/child")
os.rename("links/x.vmsnap", "links/y.vmsnap")  # the child's parent is in none of its places
for parents in ("view", "view/y.vmsnap", "links/loop"):
    with View("links", "view", "-o", "threads=1", "--parent", parents, says="its parent"):
        for _ in range(2): assert subprocess.run(["stat", "view/child"], capture_output=True, timeout=20).returncode == 1
        assert subprocess.run(["cmp", "view/y.vmsnap/ram", "ram"], timeout=20).returncode == 0
os.unlink("links/child")
os.rename("links/y.vmsnap", "links/x.vmsnap")
for threads in 1, 4:
    with View("links", "view", "-o", f"threads={threads}"):
        for _ in range(3):
            look = subprocess.run([sys.executable, "-c", LOOK, "view", "view/x.vmsnap/ram"], timeout=20)
            assert look.returncode == 0 and os.listdir("view") == ["x.vmsnap"]
            for name in INTO: assert subprocess.run(["stat", "view/" + name], capture_output=True, timeout=20).returncode == 1, name
PYTHON

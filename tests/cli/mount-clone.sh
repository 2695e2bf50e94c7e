#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Guests whose RAM is mapped from a mounted view go on counting; balloons and writes of theirs do not reach it.
source "$(dirname "$0")/lib.sh"
requires_guest
requires_view
export XDG_RUNTIME_DIR=$work

python3 - <<'PYTHON'
import os, re
from clones import BALLOON, Clone, digest, save_base
from guest import Guest, Qmp
from view import refused, vmsnap, wait_until

with Guest("a", extra=BALLOON) as a:
    save_base(a)
    vmsnap("save", "--qmp", a.socket, "-B", "base.vmsnap", "-q", "child.vmsnap")
    last = a.last_tick()
vmsnap("convert", "-q", "-O", "raw", "--region", "pc.ram", "base.vmsnap", "base.ram")
truth = digest("base.ram")
os.mkdir("view")
vmsnap("mount", "--record", "touched", "base.vmsnap", "view")
ram = "view/regions/pc.ram"

# Nothing is decoded before it is touched, by the first of two.
one = Clone("one", "child.vmsnap", "--base", "view")
two = Clone("two", "child.vmsnap", "--base", "view")
first = one.whole_tick()
two.whole_tick()
assert first.n in (last.n, last.n + 1), (first, last)
maps = open(f"/proc/{one.qemu()}/maps").read()
assert os.path.abspath(ram) in maps, maps
anonymous = int(re.search(r"Anonymous: *(\d+)", open(f"/proc/{one.qemu()}/smaps_rollup").read())[1])
assert anonymous < 80 << 10, f"{anonymous} KiB of its own"
assert not os.path.exists("vmsnap"), "bases are kept for nobody"

# The balloon's holes are swallowed, without a word of QEMU's for each.
monitor = Qmp(one.socket)
monitor("balloon", value=112 << 20)
wait_until("the balloon", lambda: monitor("query-balloon")["actual"] <= 112 << 20)
one.wait_tick()
assert digest(ram) == truth == digest("view/ram"), "the balloon reached the view"
assert os.path.getsize("one.err") == 0, open("one.err").read()
two.whole_tick()

# A clone of the base itself; one of a view of something else.
three = Clone("three", "base.vmsnap", "--base", "view")
assert three.whole_tick().n <= first.n
os.mkdir("other")
vmsnap("mount", "child.vmsnap", "other")
refused(7, "is no difference against", "restore", "--clone", "--base", "other", "base.vmsnap", "--exec", "-q", "--", "qemu-system-x86_64")

# It is in use: taken out of sight it serves on, and ends with the last guest.
refused(3, "is in use", "umount", "view")
vmsnap("umount", "--lazy", "view")
assert os.listdir("view") == []
two.whole_tick()
for clone in (one, two, three): clone.kill()
vmsnap("umount", "other")
wait_until("the recording", lambda: os.path.exists("touched"))

# What the guests touched, decoded ahead: nothing is left to be read when the next one does.
vmsnap("mount", "--prefetch", "touched", "base.vmsnap", "view")
four = Clone("four", "child.vmsnap", "--base", "view")
four.whole_tick()
assert digest(ram) == truth
four.kill()
wait_until("its end", lambda: os.system(f"{os.environ['VMSNAP']} umount view 2> /dev/null") == 0)
PYTHON

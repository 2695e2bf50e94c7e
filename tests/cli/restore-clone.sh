#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Guests that share their base's memory go on counting; what one does with its memory, a balloon's discards too, the base does not see.
source "$(dirname "$0")/lib.sh"
requires_guest
export XDG_RUNTIME_DIR=$work
# The guests die with the script below; until they have, their base is in use.
drop_bases() {
  for _ in {1..100}; do
    "$VMSNAP" base drop --all
    [[ -n $("$VMSNAP" base list) ]] || break
    sleep 0.1
  done
  rm -rf "$work"
}
trap drop_bases EXIT

python3 - <<'PYTHON'
import json, os, re, signal, subprocess
from clones import BALLOON, Clone, digest, save_base
from guest import Guest, Qmp
from view import refused, run, vmsnap, wait_until

def kept():
    return json.loads(vmsnap("base", "list", "--output=json"))

with Guest("a", extra=BALLOON) as a:
    save_base(a)
    vmsnap("save", "--qmp", a.socket, "--resume", "-B", "base.vmsnap", "-q", "child.vmsnap")
    a.work("write 1")
    a.wait_tick()
    vmsnap("save", "--qmp", a.socket, "-B", "child.vmsnap", "-q", "grandchild.vmsnap")
    last = a.last_tick()
vmsnap("convert", "-q", "-O", "raw", "--region", "pc.ram", "base.vmsnap", "base.ram")
truth = digest("base.ram")
stored = digest("base.vmsnap")

# Two at once: the base is decoded once. They share it, and little else is their own.
one, two = Clone("one", "child.vmsnap"), Clone("two", "child.vmsnap")
first = one.whole_tick()
two.whole_tick()
assert last.n >= first.n > 0, (first, last)
(base,) = kept()
assert base["in_use"] and base["bytes"] == 128 << 20 and digest(base["path"]) == truth, base
anonymous = int(re.search(r"Anonymous: *(\d+)", open(f"/proc/{one.qemu()}/smaps_rollup").read())[1])
assert anonymous < 80 << 10, f"{anonymous} KiB of its own"
refused(3, "is in use", "base", "drop", base["digest"])

# Nothing that its maker had open is held open by the keeper.
assert sorted(os.listdir(f"/proc/{base['keeper']}/fd")) == list("0123"), os.listdir(f"/proc/{base['keeper']}/fd")

# A balloon takes memory from one of them: QEMU punches holes into the file that the RAM is mapped from.
monitor = Qmp(one.socket)
monitor("balloon", value=112 << 20)
wait_until("the balloon", lambda: monitor("query-balloon")["actual"] <= 112 << 20)
one.wait_tick()
assert digest(base["path"]) == truth, "the balloon reached the base"
two.whole_tick()

# A clone of a child of the child, over the same memory, and one of the base itself.
three = Clone("three", "grandchild.vmsnap", "--base", "base.vmsnap")
tick = three.whole_tick()
assert tick.n in (last.n, last.n + 1), (tick, last)
# (Its command line, as libvirt's, makes the RAM itself.)
own = ["-object", f"memory-backend-ram,id=pc.ram,size={128 << 20}", "-machine", "memory-backend=pc.ram"]
four = Clone("four", "base.vmsnap", of_qemu=own)
assert four.whole_tick().n <= first.n
assert [each["keeper"] for each in kept()] == [base["keeper"]]

# One that somebody else starts, with the options that base load prints; and one that has other memory.
options = vmsnap("base", "load", "-q", "base.vmsnap").split()
with Guest("five", incoming="defer", extra=[*BALLOON, *options]) as five:
    vmsnap("restore", "--clone", "child.vmsnap", "--qmp", five.socket, "-q")
    tick = five.wait_tick()
    assert tick.ok == tick.of, tick
with Guest("six", incoming="defer", extra=BALLOON) as six:
    refused(3, "this QEMU does not have the base's memory", "restore", "--clone", "child.vmsnap", "--qmp", six.socket, "-q")

# Without its keeper the running ones go on, and the next makes the base anew.
os.kill(base["keeper"], signal.SIGKILL)
wait_until("the keeper's end", lambda: kept() == [])
two.whole_tick()
seven = Clone("seven", "child.vmsnap", "--base", ".")
seven.whole_tick()
(again,) = kept()
assert again["keeper"] != base["keeper"] and digest(again["path"]) == truth

# However they end, nobody uses it any more.
for clone in (one, two, three, four, seven): clone.kill()
wait_until("all references gone", lambda: not kept()[0]["in_use"])
vmsnap("base", "drop", "base.vmsnap")
assert kept() == []
refused(8, "is not kept here", "base", "drop", "base.vmsnap")
assert digest("base.vmsnap") == stored

# A keeper that nobody can find any more does not stay.
vmsnap("base", "load", "-q", "base.vmsnap")
(lost,) = kept()
for registration in os.listdir("vmsnap"): os.unlink("vmsnap/" + registration)
wait_until("the keeper's end", lambda: not os.path.exists(f"/proc/{lost['keeper']}"))

# Another base than the guest's, or none where it should be.
open("other.ram", "wb").write(b"other" * 8192)
vmsnap("convert", "-q", "other.ram", "other.vmsnap")
refused(7, "is no difference against", "restore", "--clone", "--base", "other.vmsnap", "child.vmsnap", "--exec", "-q", "--", "qemu-system-x86_64")
os.rename("base.vmsnap", "elsewhere")
refused(7, "was not found", "restore", "--clone", "child.vmsnap", "--exec", "-q", "--", "qemu-system-x86_64")
assert kept() == []
PYTHON

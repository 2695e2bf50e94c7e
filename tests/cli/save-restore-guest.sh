#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real guest is saved over QMP, alone and as a difference, and goes on counting where it was: in the same QEMU, in one that waits,
# and in one that restore starts.
source "$(dirname "$0")/lib.sh"
requires_guest

python3 - <<'PYTHON'
import json, os, signal, subprocess, time
from guest import Console, Guest, command, die_with_parent

VMSNAP = os.environ["VMSNAP"]

def vmsnap(*words):
    done = subprocess.run([VMSNAP, *words], capture_output=True, text=True, preexec_fn=die_with_parent)
    assert done.returncode == 0, (words, done.returncode, done.stderr)
    return done.stdout

def whole(tick):
    assert tick.ok == tick.of, tick
    return tick

def settings(guest):
    on = [each["capability"] for each in guest.qmp("query-migrate-capabilities") if each["state"]]
    return on, guest.qmp("query-migrate-parameters")["max-bandwidth"]

with Guest("a", ram_file="a.ram") as a:
    a.wait_tick()
    # What would leave the RAM out, wait for ever, or throttle: switched off for the time of it.
    a.qmp("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in
          ("x-ignore-shared", "pause-before-switchover", "xbzrle")])
    a.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 20})
    before = settings(a)
    vmsnap("save", "--qmp", a.socket, "--resume", "-q", "first.vmsnap")
    assert a.status() == "running" and settings(a) == before, (a.status(), settings(a))
    a.wait_tick()
    a.work("write 4")
    a.wait_tick()
    vmsnap("save", "--qmp", a.socket, "-B", "first.vmsnap", "-q", "second.vmsnap")
    assert a.status() == "postmigrate", a.status()
    last = whole(a.last_tick())
    assert last.of == 6, last
    vmsnap("convert", "-q", "-O", "raw", "--region", "pc.ram", "second.vmsnap", "second.ram")
    assert open("a.ram", "rb").read() == open("second.ram", "rb").read(), "the snapshot is not the guest's RAM"
    a.qmp("cont")
    a.wait_tick()

for name in ("first.vmsnap", "second.vmsnap"):
    vmsnap("check", "-q", name)
    info = json.loads(vmsnap("info", "--output=json", name))
    assert info["metadata"]["qemu.runstate"] == "running", info["metadata"]
    assert info["qemu"]["memory"] == "128M" and info["qemu"]["machine"].startswith("pc-i440fx-"), info["qemu"]
assert os.path.getsize("second.vmsnap") < os.path.getsize("first.vmsnap") / 2

with Guest("b", incoming="defer") as b:
    vmsnap("restore", "second.vmsnap", "--qmp", b.socket, "-q")
    tick = whole(b.wait_tick())
    assert tick.n in (last.n, last.n + 1) and tick.of == last.of, (tick, last)
    assert b.status() == "running"

with Guest("c", incoming="defer") as c:
    vmsnap("restore", "--paused", "second.vmsnap", "--qmp", c.socket, "-q")
    assert c.status() == "paused" and c.silent(), c.status()
    vmsnap("save", "--qmp", c.socket, "--resume", "-B", "second.vmsnap", "-q", "third.vmsnap")  # not running: --resume lets it be
    assert c.status() == "postmigrate", c.status()
with Guest("d", incoming="defer") as d:
    vmsnap("restore", "--running", "third.vmsnap", "--qmp", d.socket, "-q")
    assert whole(d.wait_tick()).n in (last.n, last.n + 1)
    vmsnap("save", "--qmp", d.socket, "--quit", "-q", "fourth.vmsnap")
    assert d.process.wait(timeout=60) == 0

# restore starts QEMU itself and passes signals on; a SIGTERM ends QEMU as its user would see it.
process = subprocess.Popen([VMSNAP, "restore", "--exec", "-q", "second.vmsnap", "--", *command()],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open("exec.log", "wb"), preexec_fn=die_with_parent)
console = Console(process)
tick = whole(console.wait_tick())
assert tick.n in (last.n, last.n + 1), (tick, last)
whole(console.wait_tick())
process.send_signal(signal.SIGTERM)
assert process.wait(timeout=60) == 0, (process.returncode, open("exec.log").read())
assert "terminating on signal 15" in open("exec.log").read(), open("exec.log").read()

# Killed, restore takes QEMU with it.
process = subprocess.Popen([VMSNAP, "restore", "--exec", "-q", "second.vmsnap", "--", *command()],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
console = Console(process)
whole(console.wait_tick())
qemu = int(subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout)
process.kill()
process.wait()
for _ in range(300):
    if not os.path.exists(f"/proc/{qemu}") or " Z " in open(f"/proc/{qemu}/stat").read(): break
    time.sleep(0.1)
else:
    raise AssertionError("QEMU outlived what started it")
PYTHON
[[ $(names_in . | tr ' ' '\n' | grep -c '^\.') == 0 ]] || fail "something is left: $(names_in .)"

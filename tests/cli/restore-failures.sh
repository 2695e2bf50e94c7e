#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A restore that fails leaves the snapshot as it was and no QEMU that it started, and tells what QEMU said.
source "$(dirname "$0")/lib.sh"
requires_guest
requires pgrep

python3 - <<'PYTHON'
import hashlib, os, signal, subprocess, time
from guest import Guest, command, die_with_parent

VMSNAP = os.environ["VMSNAP"]

def start(*words):
    return subprocess.Popen([VMSNAP, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            preexec_fn=die_with_parent)

def children(process):
    return subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()

def expect(status, *says, process):
    errors = process.communicate(timeout=90)[1]
    assert process.returncode == status, (process.returncode, errors)
    for words in says:
        assert words in errors, (words, errors)

def until(condition):
    deadline = time.monotonic() + 90
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.005)
    return answer

def gone(pid):
    return not os.path.exists(f"/proc/{pid}")

def digest():
    return hashlib.sha256(open("guest.vmsnap", "rb").read()).hexdigest()

with Guest("a") as a:
    a.wait_tick()
    subprocess.run([VMSNAP, "save", "-q", "--quit", "--qmp", a.socket, "guest.vmsnap"], check=True)
before = digest()

# Another machine: QEMU says so on standard error, and is told of again in the message. So with a device that is missing.
run = ("restore", "-q", "--exec", "guest.vmsnap", "--")
expect(3, "Machine type received is 'pc-i440fx", "vmsnap: qemu-system-x86_64: ", "it ended with status 1: ",
       process=start(*run, *command(machine="q35")))
expect(3, "Size mismatch: pc.ram", "it ended with status 1", process=start(*run, *command(memory=96)))
# A command line that QEMU does not know; no QEMU; another program.
expect(3, "it ended with status 1: ", "invalid option", process=start(*run, *command(extra=["-nonsense"])))
expect(3, "no-such-qemu: cannot start it: No such file", process=start(*run, "no-such-qemu"))
expect(3, "it ended with status 0", process=start(*run, "true"))
expect(2, "adds -incoming itself", process=start(*run, *command(extra=["-incoming", "defer"])))
expect(2, "no -daemonize", process=start(*run, *command(extra=["--daemonize"])))

# Over a monitor: the same refusal, and a QEMU that does not wait.
with Guest("b", incoming="defer", machine="q35") as b:
    expect(3, "b.qmp: ", "QEMU closed its monitor", process=start("restore", "-q", "--qmp", b.socket, "guest.vmsnap"))
    assert b.process.wait(timeout=60) == 1 and "Machine type received" in b.messages()
with Guest("c") as c:
    expect(3, "QEMU waits for no guest (running)", process=start("restore", "-q", "--qmp", c.socket, "guest.vmsnap"))
    c.wait_tick()

# A damaged snapshot: QEMU is ended with it.
at = os.path.getsize("guest.vmsnap") // 2
data = bytearray(open("guest.vmsnap", "rb").read())
data[at : at + 64] = bytes(byte ^ 0x55 for byte in data[at : at + 64])
open("bad.vmsnap", "wb").write(data)
expect(4, "bad.vmsnap: at offset ", process=start("restore", "-q", "--exec", "bad.vmsnap", "--", *command()))

# QEMU is killed, stopped for ever, and a signal comes, each in the middle: it takes nothing any more once it is stopped.
for how in ("killed", "signal"):
    process = start(*run, *command())
    qemu = int(until(lambda: children(process))[0])
    until(lambda: os.readlink(f"/proc/{qemu}/exe") != os.readlink(f"/proc/{process.pid}/exe"))
    os.kill(qemu, signal.SIGSTOP)
    if how == "killed":
        os.kill(qemu, signal.SIGKILL)
        expect(3, "it ended with signal 9", process=process)
    else:
        process.send_signal(signal.SIGTERM)
        expect(128 + signal.SIGTERM, process=process)
    until(lambda: gone(qemu))

# In the middle of the stream, for certain: QEMU is stopped when some of the snapshot has gone through.
process = start("restore", "-p", "--exec", "guest.vmsnap", "--", *command())
qemu = int(until(lambda: children(process))[0])
until(lambda: any("pipe:" in os.readlink(f"/proc/{qemu}/fd/{fd}") and int(fd) > 2 for fd in os.listdir(f"/proc/{qemu}/fd")))
os.kill(qemu, signal.SIGKILL)
expect(3, "it ended with signal 9", process=process)
until(lambda: gone(qemu))
assert digest() == before, "the snapshot is another one"
PYTHON

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A save that fails leaves no output, and a guest that runs as before, with QEMU's settings as they were.
source "$(dirname "$0")/lib.sh"
requires_guest
requires prlimit

python3 - <<'PYTHON'
import os, select, signal, socket, subprocess, time
from guest import Guest, die_with_parent

VMSNAP = os.environ["VMSNAP"]

def start(*words, under=()):
    return subprocess.Popen([*under, VMSNAP, *words], stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)

def expect(status, *says, process):
    errors = process.communicate(timeout=90)[1]
    assert process.returncode == status, (process.returncode, errors)
    for words in says:
        assert words in errors, (words, errors)
    left = [name for name in os.listdir(".") if name.startswith((".", "out"))]
    assert not left, left

def settings(guest):
    on = [each["capability"] for each in guest.qmp("query-migrate-capabilities") if each["state"]]
    return on, guest.qmp("query-migrate-parameters")["max-bandwidth"]

def runs_as_before(guest, before):
    assert guest.status() == "running" and settings(guest) == before, (guest.status(), settings(guest))
    guest.last_tick()
    tick = guest.wait_tick()
    assert tick.ok == tick.of, tick

save = ("save", "-q", "--resume", "-o", "codec=store", "-j", "1", "--qmp")
def in_the_middle(guest):
    """A save that is stopped while QEMU sends; one that was over before that could be is begun again."""
    for _ in range(20):
        process = start(*save, guest.socket, "out.vmsnap")
        while process.poll() is None:
            if guest.qmp("query-migrate").get("status") == "active":
                process.send_signal(signal.SIGSTOP)
                break
        if process.poll() is None and guest.qmp("query-migrate").get("status") == "active":
            assert guest.status() == "paused", guest.status()
            return process
        process.send_signal(signal.SIGCONT)
        expect_saved(process)
    raise AssertionError("each save was too fast")

def expect_saved(process):
    errors = process.communicate(timeout=90)[1]
    assert process.returncode == 0, errors
    os.unlink("out.vmsnap")

with Guest("a", extra=["-blockdev", "null-co,node-name=disk", "-device", "virtio-blk-pci,drive=disk"]) as a:
    a.wait_tick()
    a.qmp("migrate-set-capabilities", capabilities=[{"capability": "pause-before-switchover", "state": True}])
    a.qmp("migrate-set-parameters", **{"max-bandwidth": 3 << 20})
    before = settings(a)

    # A full disk, which is a limit on the file's size here.
    expect(3, "out.vmsnap: ", "cannot write: File too large", process=start(*save, a.socket, "out.vmsnap", under=("prlimit", "--fsize=20000000")))
    runs_as_before(a, before)
    # A full disk when QEMU has sent all and let its own disks go.
    expect(3, "/dev/full: cannot write: No space left", process=start(*save, a.socket, "/dev/full"))
    runs_as_before(a, before)
    expect(3, "none.vmsnap: cannot open", process=start(*save, a.socket, "-B", "none.vmsnap", "out.vmsnap"))
    expect(3, "nowhere/out.vmsnap", process=start(*save, a.socket, "nowhere/out.vmsnap"))
    runs_as_before(a, before)

    for number in (signal.SIGTERM, signal.SIGINT):
        process = in_the_middle(a)
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        expect(128 + number, process=process)
        runs_as_before(a, before)

    # The reader of the snapshot goes away.
    os.mkfifo("pipe")
    process = start(*save, a.socket, "pipe")
    os.close(os.open("pipe", os.O_RDONLY))
    expect(128 + signal.SIGPIPE, process=process)
    runs_as_before(a, before)

    # One that stays and reads nothing, and two signals.
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    process = start(*save, a.socket, "pipe")
    while len(select.select([reader], [], [], 0.1)[0]) == 0: assert process.poll() is None
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    expect(128 + signal.SIGINT, process=process)
    os.close(reader)
    runs_as_before(a, before)

    # A signal when the snapshot has its name: the guest goes on all the same.
    for _ in range(5):
        process = start(*save, a.socket, "out.vmsnap")
        while not os.path.exists("out.vmsnap") and process.poll() is None: pass
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)
        os.unlink("out.vmsnap")
        runs_as_before(a, before)

    # Two at once: the monitor serves one.
    one = socket.socket(socket.AF_UNIX)
    one.connect(a.socket)
    one.recv(4096)
    expect(3, "one client at a time", process=start(*save, a.socket, "out.vmsnap"))
    one.close()
    runs_as_before(a, before)

    # QEMU is killed in the middle.
    process = in_the_middle(a)
    a.kill()
    process.send_signal(signal.SIGCONT)
    expect(3, "a.qmp", "QEMU closed its monitor", process=process)

# A guest that cannot be migrated: QEMU says why, and it is told.
with Guest("b", fresh=True, extra=["-blockdev", "null-co,node-name=disk", "-device", "nvme,drive=disk,serial=1"]) as b:
    b.wait_tick()
    before = settings(b)
    pipes = lambda: [name for name in os.listdir(f"/proc/{b.process.pid}/fd") if "pipe:" in os.readlink(f"/proc/{b.process.pid}/fd/{name}")]
    had = len(pipes())
    expect(3, "b.qmp: migrate: QEMU says: State blocked by non-migratable device", process=start(*save, b.socket, "out.vmsnap"))
    runs_as_before(b, before)
    assert len(pipes()) == had, "a descriptor stayed in QEMU"
with Guest("c", incoming="defer") as c:
    expect(3, "QEMU waits for a guest itself", process=start(*save, c.socket, "out.vmsnap"))
PYTHON

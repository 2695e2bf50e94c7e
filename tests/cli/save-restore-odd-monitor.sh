#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What calls itself QEMU's monitor may be anything: save and restore end with its words or with what is wrong, and hang on nothing.
source "$(dirname "$0")/lib.sh"
requires python3

cat >monitor.py <<'PYTHON'
import array, json, os, socket, struct, subprocess, threading

VMSNAP = os.environ["VMSNAP"]
be32 = struct.Struct(">I").pack
be64 = struct.Struct(">Q").pack
short = lambda name: bytes([len(name)]) + name

def stream(pages=64, ram=b"pc.ram"):
    """What QEMU would send: a head, the RAM, a device, a description."""
    machine = b"pc-i440fx-7.2"
    out = b"QEVM" + be32(3) + b"\7" + be32(len(machine)) + machine
    out += b"\1" + be32(2) + short(b"ram") + be32(0) + be32(4) + be64(pages * 4096 | 4) + short(ram) + be64(pages * 4096) + be64(16)
    out += b"\x7e" + be32(2) + b"\3" + be32(2)
    for page in range(pages):
        out += be64(page * 4096 | (8 if page == 0 else 0x28)) + (short(ram) if page == 0 else b"") + bytes([page % 255 + 1]) * 4096
    out += be64(16) + b"\x7e" + be32(2)
    out += b"\4" + be32(3) + short(b"timer") + be32(0) + be32(2) + bytes(24) + b"\x7e" + be32(3) + b"\0"
    words = b'{"page_size": 4096, "devices": []}'
    return out + b"\6" + be32(len(words)) + words

class Monitor:
    """Answers commands as a table says: a value, or a function of the monitor and the arguments; an exception closes the connection."""

    def __init__(self, path, greeting=b'{"QMP": {"version": {}, "capabilities": []}}\n', **answers):
        self.commands, self.fd, self.got = [], None, b""
        self.answers = {"query-status": {"status": "running", "running": True}, "query-migrate": {},
                        "query-migrate-parameters": {"max-bandwidth": 7}, "query-migrate-capabilities": []}
        self.answers.update({name.replace("_", "-"): answer for name, answer in answers.items()})
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen()
        self.greeting = greeting
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        link = self.server.accept()[0]
        try:
            link.sendall(self.greeting)
            buffer = b""
            while True:
                data, control, _, _ = link.recvmsg(65536, 64)
                if not data:
                    return
                for _, kind, payload in control:
                    assert kind == socket.SCM_RIGHTS
                    self.fd = array.array("i", payload)[0]
                buffer += data
                while b"\n" in buffer:
                    line, _, buffer = buffer.partition(b"\n")
                    self.answer(link, json.loads(line))
        except (OSError, EOFError):
            pass
        finally:
            link.close()
            if self.fd is not None:
                os.close(self.fd)

    def answer(self, link, request):
        name = request["execute"]
        self.commands.append(name)
        answer = self.answers.get(name.replace("_", "-"), {})
        answer = answer(self, request.get("arguments", {})) if callable(answer) else answer
        if isinstance(answer, bytes):
            return link.sendall(answer)
        key = "error" if isinstance(answer, dict) and "desc" in answer else "return"
        link.sendall(b'{"event": "STOP", "timestamp": {}}\n' + json.dumps({key: answer, "id": request["id"]}).encode() + b"\n")

def vmsnap(status, *says, words):
    done = subprocess.run([VMSNAP, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, (words, done.returncode, done.stderr)
    for each in says:
        assert each in done.stderr, (each, done.stderr)
    left = [name for name in os.listdir(".") if name.startswith(".") or (status and words[0] == "save" and name == "out.vmsnap")]
    assert not left, left

count = 0
def save(status, *says, more=(), **how):
    global count
    count += 1
    monitor = Monitor(f"m{count}", **how)
    vmsnap(status, *says, words=("save", "-q", "-j", "1", *more, "--qmp", f"m{count}", "out.vmsnap"))
    monitor.thread.join(10)
    return monitor

def restore(status, *says, **how):
    global count
    count += 1
    monitor = Monitor(f"m{count}", **{"query_status": {"status": "inmigrate", "running": False}, **how})
    vmsnap(status, *says, words=("restore", "-q", "--qmp", f"m{count}", "out.vmsnap"))
    monitor.thread.join(10)
    return monitor
PYTHON

PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 python3 - <<'PYTHON'
from monitor import *

# No monitor at all.
save(3, "a line without end", greeting=b"x" * (5 << 20))
save(3, "no QMP monitor", greeting=b'{"hello": 1}\n')
save(3, "no QMP monitor", greeting=b"[1]\n")
save(3, "no JSON", greeting=b"220 mail ready\n")
save(3, "no JSON", greeting=b"[" * 200000 + b"\n")
vmsnap(3, "has no more than 107 bytes", words=("save", "--qmp", "x" * 200, "out.vmsnap"))
vmsnap(3, "no-socket: cannot connect to QEMU's monitor: No such file", words=("save", "--qmp", "no-socket", "out.vmsnap"))

def hang_up(*_):
    raise EOFError

def send(data, status="completed"):
    """Sends what migration would; later query-migrate tells the status."""
    def migrate(monitor, arguments):
        fd, monitor.fd = monitor.fd, None
        def write():
            try:
                with open(fd, "wb") as pipe:
                    pipe.write(data)
            except OSError:
                pass
            monitor.answers["query-migrate"] = {"status": status, "error-desc": "the disk \x1b is on fire"}
        monitor.answers["query-migrate"] = {"status": "active", "ram": {"total": 1 << 18, "remaining": 1000}}
        threading.Thread(target=write, daemon=True).start()
        return {}
    return migrate

# Answers that are none, or of other types than they ought to be.
save(3, "QEMU's answer is no JSON object", query_status=b"[]\n")
save(3, "QEMU says: an error without words", query_status=b'{"error": 5}\n')
save(3, "m", "QEMU closed its monitor", query_status=hang_up)
for odd in ({"query_migrate_parameters": hang_up}, {"getfd": hang_up}, {"migrate": hang_up}):
    save(3, "QEMU closed its monitor", **odd)
assert save(3, "stop: QEMU says: no", stop={"desc": "no"}).commands[-2:] == ["stop", "cont"]
refused = save(3, "migrate: QEMU says: no \\x1b such thing", migrate={"desc": "no \x1b such thing"})
assert refused.commands[-1] == "cont" and refused.commands.count("migrate-set-parameters") == 2, refused.commands

# The stream is cut, garbage, or given up by QEMU; what was stopped goes on.
whole = stream()
for data, status, exit_status, says in ((whole[:9000], "failed", 3, "QEMU gave the migration up (failed): the disk \\x1b is on fire"),
                                        (whole[:9000], "completed", 5, "the migration stream ends early"),
                                        (b"", "completed", 5, "ends in its head"),
                                        (b"\0" * 5000000, "failed", 4, "at offset 0: "),
                                        (whole, "failed", 3, "QEMU gave the migration up"),
                                        (whole, "cancelled", 3, "QEMU gave the migration up (cancelled)")):
    monitor = save(exit_status, says, migrate=send(data, status))
    assert monitor.commands[-1] == "cont", monitor.commands
    assert monitor.commands.count("migrate-set-parameters") == 2, monitor.commands

save(3, "was saved or moved before", query_status={"status": "postmigrate", "running": False})
save(3, "a migration is under way (active)", query_migrate={"status": "active"})

# Capabilities are switched off, and on again; a guest that did not run is not set going; the total may be anything.
capabilities = [{"capability": "multifd", "state": True}, {"capability": "xbzrle", "state": True}, {"state": 5}, 7]
monitor = save(0, more=("-p",), migrate=send(whole), query_migrate_capabilities=capabilities,
               query_status={"status": "paused", "running": False})
assert monitor.commands.count("migrate-set-capabilities") == 2 and "cont" not in monitor.commands and "stop" not in monitor.commands

def needs():
    done = subprocess.run([VMSNAP, "info", "--output=json", "out.vmsnap"], capture_output=True, text=True, check=True)
    info = json.loads(done.stdout)
    told = subprocess.run([VMSNAP, "info", "out.vmsnap"], capture_output=True, text=True, check=True).stdout
    assert told.endswith("QEMU needs:\n  " + " ".join(info["qemu"]["arguments"]) + "\n"), told
    return info["metadata"]["qemu.runstate"], info["qemu"]

assert needs() == ("paused", {"machine": "pc-i440fx-7.2", "memory": "262144B", "ram": "pc.ram",
                              "arguments": ["-machine", "pc-i440fx-7.2", "-m", "262144B"]}), needs()
save(0, migrate=send(stream(256, b"main")))  # a RAM block of another name is that of a backend
assert needs() == ("running", {"machine": "pc-i440fx-7.2", "memory": "1M", "ram": "main", "arguments": [
    "-object", "memory-backend-ram,id=main,size=1M", "-machine", "pc-i440fx-7.2,memory-backend=main", "-m", "1M"]}), needs()
save(0, more=("--quit",), migrate=send(whole), query_status={"status": "paused", "running": False})

# Back: QEMU takes all of it; refuses it; goes away; says that it failed.
def take(status, most=1 << 30):
    def migrate_incoming(monitor, arguments):
        fd, monitor.fd = monitor.fd, None
        def read():
            with open(fd, "rb") as pipe:
                monitor.got = pipe.read(most)
            monitor.answers["query-migrate"] = {"status": status, "error-desc": "not this one"}
        threading.Thread(target=read, daemon=True).start()
        return {}
    return migrate_incoming

monitor = restore(0, migrate_incoming=take("completed"))
assert monitor.got.startswith(b"QEVM") and "cont" not in monitor.commands and monitor.commands.count("stop") == 1, monitor.commands
restore(3, "QEMU does not take the guest: not this one", migrate_incoming=take("failed"))
restore(3, "QEMU does not take the guest: not this one", migrate_incoming=take("failed", most=1000))
restore(3, "migrate-incoming: QEMU says: no", migrate_incoming={"desc": "no"})
restore(3, "QEMU closed its monitor", migrate_incoming=hang_up)
restore(3, "QEMU waits for no guest (running)", query_status={"status": "running"})
PYTHON

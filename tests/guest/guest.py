# SPDX-License-Identifier: Apache-2.0
"""A real Linux guest under a real QEMU, for the tests under tests/cli.

In a script: `requires_guest` (lib.sh; ends with 77 where QEMU, a kernel or busybox is missing), then python3, which finds:

    from guest import Guest, command, Console

    with Guest("a") as guest:                 # boots, 128 MiB, TCG, no disk, no network; about 2 s until the first tick
        tick = guest.wait_tick()              # Tick(n=3, ok=5, of=5): the guest counts in its memory, several times a second;
                                              # ok of its `of` files still have their digest
        guest.work("write 8")                 # 8 MiB of noise, remembered: a child differs from its parent. Also "drop" (what
                                              # was written), "load virtio_balloon" (then virtio_pci; or virtio_blk).
                                              # Where a balloon leaves it less than 96 MiB it panics
        guest.qmp("stop"), guest.qmp("cont")  # any QMP command: the answer's "return", or QmpError with QEMU's words
        guest.status()                        # "running", "paused", "inmigrate" ...
        guest.migrate("exec:cat >a.mig")      # waits until it is whole; the guest should be stopped for a ground truth
        guest.pmemsave("a.ram")               # its memory from address 0; see ram_file for the RAM block itself
        guest.socket                          # for a program under test: a second QMP monitor, a unix socket

    Guest("b", incoming="defer")              # waits for a migration; or "exec:cat a.mig"
    Guest("c", extra=["-device", "virtio-balloon-pci"], memory=256, machine="q35", work="load:virtio_balloon,write:8")
    Guest("d", fresh=True)                    # really boots; others take up what an earlier guest of the same kind was after booting
    Guest("d", ram_file="d.ram")              # its RAM block "pc.ram" is that file, shared: the truth, byte for byte
    command("e", memory=..., ...)             # the same QEMU command line, with no monitors, for `vmsnap restore --exec ... --`
    Console(process)                          # ticks from the stdout of a process that was started with it

All that is started dies with the test, however that ends. Files are made in the current directory: NAME.log (console and
QEMU's messages), NAME.qmp (socket).
"""

import collections
import ctypes
import glob
import hashlib
import json
import os
import queue
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import initramfs

HERE = os.path.dirname(os.path.abspath(__file__))
QEMU = "qemu-system-x86_64"
PATIENCE = 100.0  # seconds, for what takes two on an idle machine
SLOW_ORDER = 15  # of seconds, until an order counts as lost
PR_SET_PDEATHSIG = 1

TICK = re.compile(r"^TICK (\d+) ok=(\d+) of=(\d+)$")
Tick = collections.namedtuple("Tick", "n ok of")


class QmpError(Exception):
    """What QEMU said."""


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def skip(why):
    print(f"SKIP: {why}", file=sys.stderr)
    sys.exit(77)


def newest_kernel():
    def numbers(path):
        return [int(number) for number in re.findall(r"\d+", path)]

    return max((path for path in glob.glob("/boot/vmlinuz-*") if os.access(path, os.R_OK)), key=numbers, default=None)


def is_dynamic(path):
    """The ELF program has an interpreter (PT_INTERP)."""
    with open(path, "rb") as program:
        data = program.read(4096)
    at, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    return any(struct.unpack_from("<I", data, at + 56 * i)[0] == 3 for i in range(count) if at + 56 * i + 4 <= len(data))


def skip_without_qemu():
    if not shutil.which(QEMU):
        skip(f"needs {QEMU}")
    if newest_kernel() is None:
        skip("needs a kernel, /boot/vmlinuz-*, that may be read")
    if not shutil.which("busybox") or is_dynamic(shutil.which("busybox")):
        skip("needs a static busybox")


def cache_directory():
    return os.path.join(os.environ.get("SNAP_BUILD_DIR", "/tmp"), "test-guest")


def initramfs_path():
    directory = cache_directory()
    release = os.path.basename(newest_kernel()).removeprefix("vmlinuz-")
    return initramfs.cached(directory, shutil.which("busybox"), os.path.join(HERE, "init"), release)


def command(memory=128, machine="pc", extra=(), work="", ram_file=None):
    """A QEMU command line; the guest's console is its standard input and output."""
    line = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot", "-accel", "tcg"]
    line += ["-m", f"{memory}M", "-kernel", newest_kernel(), "-initrd", initramfs_path()]
    line += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable" + (f" work={work}" if work else "")]
    line += ["-serial", "stdio"]
    if ram_file:
        line += ["-object", f"memory-backend-file,id=pc.ram,size={memory}M,mem-path={ram_file},share=on"]
        machine += ",memory-backend=pc.ram"
    return line + ["-machine", machine, *extra]


def booted_path(extra, options):
    """Where the state of such a guest after booting is kept; nowhere where its command line names files of one test."""
    kind = command(extra=extra, **{**options, "ram_file": None})
    if any("/" in word for word in extra):
        return None
    version = subprocess.run([QEMU, "--version"], capture_output=True, check=True).stdout
    key = hashlib.sha256(version + repr(kind).encode()).hexdigest()[:16]
    return os.path.join(cache_directory(), f"booted-{key}.mig")


class Console:
    """The guest's console, on the pipes of the process that runs it."""

    def __init__(self, process, log=None):
        self.process = process
        self.lines = queue.Queue()
        self.log = log
        self.seen = []
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self):
        for line in self.process.stdout:
            if self.log:
                self.log.write(line)
                self.log.flush()
            self.lines.put(line.decode("utf-8", "replace").strip())
        self.lines.put(None)

    def _next(self, deadline, what):
        try:
            line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"no {what} in time; the console ends with {self.seen[-5:]}") from None
        if line is None:
            self.lines.put(None)
            raise AssertionError(f"QEMU ended, no {what}; the console ends with {self.seen[-5:]}")
        self.seen.append(line)
        return line

    def wait_for(self, pattern, seconds=PATIENCE):
        """The match of the next line that matches."""
        deadline = time.monotonic() + seconds
        while True:
            if match := re.search(pattern, self._next(deadline, repr(pattern))):
                return match

    def wait_tick(self, seconds=PATIENCE):
        """The next tick that has not been heard yet."""
        return Tick(*map(int, self.wait_for(TICK, seconds).groups()))

    def last_tick(self):
        """The last tick of a guest that is stopped, heard before or not."""
        time.sleep(0.3)  # what it said is on its way
        while not self.lines.empty():
            self._next(time.monotonic(), "tick")
        ticks = [match for line in self.seen if (match := TICK.search(line))]
        return Tick(*map(int, ticks[-1].groups())) if ticks else None

    def silent(self, seconds=1.0):
        """No line comes: the guest does not run."""
        self.last_tick()
        time.sleep(seconds)
        return self.lines.empty()

    def work(self, order):
        """Has the guest obey. A slow one may lose the beginning of a line when its wait for one ends, so it is told again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.process.stdin.write(b"\n" + order.encode() + b"\n")
            self.process.stdin.flush()
            try:
                return self.wait_for(f"^DONE {re.escape(order)}$", SLOW_ORDER)
            except AssertionError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise


class Qmp:
    """A monitor on a unix socket."""

    def __init__(self, path=None, link=None):
        self.link = link or socket.socket(socket.AF_UNIX)
        if link is None:
            self.link.connect(path)
        self.link.settimeout(PATIENCE)
        self.file = self.link.makefile("rw", encoding="utf-8")
        self.file.readline()
        self("qmp_capabilities")

    def __call__(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while line := self.file.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpError(f"{name}: {answer['error'].get('desc')}")
        raise QmpError(f"{name}: QEMU closed the monitor")

    def wait_for_migration(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self("query-migrate")
            if answer.get("status") == "completed":
                return
            if answer.get("status") in ("failed", "cancelled") or time.monotonic() > deadline:
                raise QmpError(f"migration: {answer}")
            time.sleep(0.02)


class Guest:
    """See above. Everything of Console is a method of this too."""

    def __init__(self, name, incoming=None, extra=(), fresh=False, **options):
        self.name = name
        self.booted = None if fresh or incoming else booted_path(extra, options)
        self.incoming = incoming
        self.socket = os.path.abspath(name + ".qmp")
        # The second monitor is ours, on a pair of sockets: a QMP monitor takes one client at a time.
        self.here, self.there = socket.socketpair()
        self.line = command(extra=extra, **options)
        self.line += ["-qmp", f"unix:{self.socket},server=on,wait=off"]
        self.line += ["-chardev", f"socket,id=test,fd={self.there.fileno()}", "-mon", "chardev=test,mode=control"]
        if incoming or self.is_booted():
            self.line += ["-incoming", incoming or f"exec:cat {shlex.quote(self.booted)}"]
        self.process = self.console = self.qmp = self.log = None

    def __enter__(self):
        die_with_parent()
        self.log = open(self.name + ".log", "ab")
        try:
            with self.there:
                self.process = subprocess.Popen(self.line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                                pass_fds=(self.there.fileno(),), preexec_fn=die_with_parent)
            self.console = Console(self.process, self.log)
            self.qmp = Qmp(link=self.here)
            if self.booted:
                self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def is_booted(self):
        return self.booted is not None and os.path.exists(self.booted)

    def _boot(self):
        """Once for guests of a kind: others go on from there."""
        if "-incoming" in self.line:
            self.qmp.wait_for_migration()
            self.qmp("cont")
            return
        self.console.wait_tick()
        handle, unfinished = tempfile.mkstemp(dir=os.path.dirname(self.booted))
        os.close(handle)
        self.qmp("stop")
        self.migrate(f"exec:cat >{shlex.quote(unfinished)}")
        os.rename(unfinished, self.booted)
        self.qmp("cont")

    def __exit__(self, *_):
        self.kill()
        self.here.close()

    def __getattr__(self, name):
        if name.startswith("_") or self.__dict__.get("console") is None:
            raise AttributeError(name)
        return getattr(self.console, name)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def status(self):
        return self.qmp("query-status")["status"]

    def migrate(self, uri):
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.qmp("migrate", uri=uri)
        self.qmp.wait_for_migration()

    def pmemsave(self, path, size=None, address=0):
        size = size or self.qmp("query-memory-size-summary")["base-memory"]
        self.qmp("pmemsave", val=address, size=size, filename=os.path.abspath(path))

    def messages(self):
        """What QEMU and the guest said so far."""
        with open(self.name + ".log", encoding="utf-8", errors="replace") as log:
            return log.read()

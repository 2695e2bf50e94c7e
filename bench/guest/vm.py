# SPDX-License-Identifier: Apache-2.0
"""A guest under QEMU: its console, its monitor, its RAM and copies of it.

The RAM is a shared file of our own (memory-backend-file), so a dump is a copy of that file while the guest is stopped:
RAM only, in guest-physical order and without the hole below 4 GiB. pmemsave would put the VGA window and the firmware's
ROM in place of what the RAM holds there.
"""

import argparse
import collections
import ctypes
import hashlib
import json
import os
import queue
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PAGE = 4096
BLOCK = 4 << 20
SETTLE_SECONDS = 2
PR_SET_PDEATHSIG = 1
RAM_BLOCK = "pc.ram"  # what QEMU calls it, too, where it is not a file
UNTHROTTLED = {"max-bandwidth": 8 << 30}
# The RAM is a file already, so a saved state is what remains: processors and devices, less than a megabyte.
WITHOUT_RAM = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}

STARTED = time.monotonic()


def say(text):
    program = os.path.basename(sys.argv[0]).removesuffix(".py")
    print(f"{program}: {time.monotonic() - STARTED:4.0f} s: {text}", flush=True)


class Failure(Exception):
    pass


class Serial:
    """The guest's console: every line goes to the log, and can be waited for."""

    def __init__(self, process, log_path):
        self.process = process
        self.lines = queue.Queue()
        self.thread = threading.Thread(target=self._pump, args=(log_path,), daemon=True)
        self.thread.start()

    def _pump(self, log_path):
        with open(log_path, "wb") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                self.lines.put(line.decode("utf-8", "replace").strip())
        self.lines.put(None)

    def _next(self, deadline):
        """The guest's next word, or None when the deadline passes first."""
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if line is None:
                raise Failure("QEMU ended")
            if not line.startswith("bench: "):
                continue
            word = line.removeprefix("bench: ")
            say(word)
            if word.startswith("FAILED"):
                raise Failure("the guest gave up")
            return word

    def wait_for(self, word, deadline):
        while (heard := self._next(deadline)) != word:
            if heard is None:
                raise Failure(f"the guest did not say {word} in time")

    def follow(self, seconds):
        deadline = time.monotonic() + seconds
        while self._next(deadline) is not None:
            pass

    def send(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()


class Monitor:
    """Just enough QMP, over a socket pair whose other end QEMU inherits."""

    def __init__(self, link):
        link.settimeout(120)
        self.file = link.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        request = {"execute": name, "arguments": arguments} if arguments else {"execute": name}
        try:
            self.file.write(json.dumps(request) + "\n")
            self.file.flush()
        except OSError as error:
            raise Failure(f"{name}: {error}") from error
        while line := self.file.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Failure(f"{name}: {answer['error'].get('desc')}")
        raise Failure(f"{name}: QEMU closed the monitor")

    def wait_for_migration(self):
        deadline = time.monotonic() + 60
        while (status := self.command("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise Failure(f"saving or loading the state: {status}")
            time.sleep(0.1)


def dump(ram, size, target):
    """Copies the stopped guest's RAM to target, with no holes; the name appears when the file is whole."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    zero_block, zero_page = bytes(BLOCK), bytes(PAGE)
    zero_pages, copied, digest = 0, 0, hashlib.sha256()
    unfinished = target + ".tmp"
    try:
        with open(unfinished, "wb") as out:
            ram.seek(0)
            while block := ram.read(BLOCK):
                if block == zero_block[: len(block)]:
                    zero_pages += len(block) // PAGE
                else:
                    zero_pages += sum(block[at : at + PAGE] == zero_page for at in range(0, len(block), PAGE))
                digest.update(block)
                out.write(block)
                copied += len(block)
        if copied != size:
            raise Failure(f"the RAM file has {copied} bytes instead of {size}")
        os.rename(unfinished, target)
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
    name, pages = os.path.basename(target), size // PAGE
    say(f"{name}: {100 * zero_pages / pages:.1f} % of the pages are zero")
    return [
        f"{name}: {size} bytes, {zero_pages} of {pages} pages zero ({100 * zero_pages / pages:.1f} %)",
        f"{name}: sha256 {digest.hexdigest()}",
    ]


Changes = collections.namedtuple("Changes", "pages filled rewritten emptied")


def compare(first, second):
    """How many pages went from zero to something, from something to something else, and to zero."""
    pages = filled = rewritten = emptied = 0
    zero = bytes(PAGE)
    with open(first, "rb") as one, open(second, "rb") as two:
        while block := one.read(BLOCK):
            other = two.read(BLOCK)
            pages += len(block) // PAGE
            if block == other:
                continue
            for at in range(0, len(block), PAGE):
                before, after = block[at : at + PAGE], other[at : at + PAGE]
                if before == after:
                    continue
                if before == zero:
                    filled += 1
                elif after == zero:
                    emptied += 1
                else:
                    rewritten += 1
    return Changes(pages, filled, rewritten, emptied)


def ram_directory(size, fallback):
    """tmpfs when it has room: on a disk the kernel would keep writing the guest's RAM back while it runs."""
    try:
        if shutil.disk_usage("/dev/shm").free > size + (256 << 20) and os.access("/dev/shm", os.W_OK):
            return "/dev/shm"
    except OSError:
        pass
    return fallback


def fill(ram, source):
    zero_block = bytes(BLOCK)
    with open(source, "rb") as image:
        while block := image.read(BLOCK):
            if block == zero_block[: len(block)]:
                ram.seek(len(block), os.SEEK_CUR)
            else:
                ram.write(block)


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def hardware(memory, kernel, initrd, drive):
    """QEMU's command line for the guest, but for where its RAM lies, its console and the monitor."""
    command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-accel", "tcg,thread=multi", "-machine", "pc", "-smp", "2", "-m", f"{memory}M"]
    command += ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
    command += ["-drive", f"{drive},if=virtio,cache=unsafe", "-rtc", "base=2025-01-01T12:00:00,clock=vm"]
    return command


class Machine:
    """The guest, from power-on or from a saved (RAM, STATE), until the end of the with statement."""

    def __init__(self, options, drive, log="serial.log", saved=None):
        self.options = options
        self.drive = drive
        self.log = os.path.join(options.work, log)
        self.saved = saved
        self.size = options.memory << 20
        self.process = self.ram = None

    def __enter__(self):
        handle, path = tempfile.mkstemp(prefix="guest-ram-", dir=ram_directory(self.size, self.options.work))
        self.ram = open(handle, "r+b", buffering=0)
        try:
            self._start(path)
        except BaseException:
            self.__exit__()
            raise
        finally:
            # QEMU has the file open now; without a name it cannot outlive the two of us.
            os.unlink(path)
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.ram.close()

    def _start(self, ram_path):
        options = self.options
        self.ram.truncate(self.size)
        if self.saved:
            fill(self.ram, self.saved[0])
        here, there = socket.socketpair()
        command = hardware(options.memory, options.kernel, options.initrd, self.drive)
        command += ["-machine", f"memory-backend={RAM_BLOCK}"]
        command += ["-object", f"memory-backend-file,id={RAM_BLOCK},size={self.size},mem-path={ram_path},share=on"]
        command += ["-serial", "stdio"]
        command += ["-chardev", f"socket,id=monitor,fd={there.fileno()}", "-mon", "chardev=monitor,mode=control"]
        command += ["-incoming", "defer"] if self.saved else []
        with there:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(there.fileno(),),
                env=dict(os.environ, TMPDIR=options.work),
                preexec_fn=die_with_parent,
                start_new_session=True,  # ^C comes to us alone
            )
        self.serial = Serial(self.process, self.log)
        self.monitor = Monitor(here)
        if self.saved:
            self.monitor.command("migrate-set-capabilities", **WITHOUT_RAM)
            self.monitor.command("migrate-incoming", uri=f"exec:cat {shlex.quote(self.saved[1])}")
            self.monitor.wait_for_migration()

    def boot(self):
        """Leaves the guest stopped where it is READY."""
        self.serial.wait_for("READY", STARTED + self.options.timeout)
        time.sleep(SETTLE_SECONDS)
        self.monitor.command("stop")
        say("stopped")

    def save_state(self, path):
        """Everything but the RAM. The guest cannot go on after it: its disk is let go."""
        self.monitor.command("migrate-set-capabilities", **WITHOUT_RAM)
        self.monitor.command("migrate", uri=f"exec:cat >{shlex.quote(path)}")
        self.monitor.wait_for_migration()

    def save_stream(self, path):
        """All of the stopped guest, RAM included, as QEMU migrates it. resume() takes its disk up again."""
        self.monitor.command("migrate-set-parameters", **UNTHROTTLED)
        self.monitor.command("migrate", uri=f"exec:cat >{shlex.quote(path)}")
        self.monitor.wait_for_migration()

    def start_work(self, work):
        """Resumes the stopped guest and gives it something to do."""
        self.monitor.command("cont")
        self.serial.send(work)
        self.serial.wait_for("WORKING", time.monotonic() + 60)

    def work_on(self, seconds):
        self.serial.follow(seconds)
        self.monitor.command("stop")
        say("stopped again")

    def resume(self):
        self.monitor.command("cont")

    def dump(self, path):
        return dump(self.ram, self.size, path)


def machine_options():
    parser = argparse.ArgumentParser()
    for name in ("kernel", "initrd", "disk", "work", "manifest"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--memory", type=int, required=True, help="MiB")
    parser.add_argument("--timeout", type=int, required=True, help="seconds until READY")
    parser.add_argument("--made-from", required=True, help="a file to open the manifest with")
    return parser


def made_from(options):
    with open(options.made_from, encoding="utf-8") as disk:
        return [f"memory: {options.memory} MiB"] + disk.read().splitlines()


def main(options, run):
    """Writes what run(options) tells as the manifest, which stands for everything being there."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        manifest = "".join(line + "\n" for line in run(options))
    except Failure as failure:
        say(f"{failure}; the guest's console is in {options.work}")
        return 1
    except KeyboardInterrupt:
        return 130
    with open(options.manifest + ".tmp", "w", encoding="utf-8") as out:
        out.write(manifest)
    os.rename(options.manifest + ".tmp", options.manifest)
    print(manifest, end="")
    return 0

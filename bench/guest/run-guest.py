#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the benchmark guest under QEMU, waits until it says READY, stops it and copies its RAM out.

Called by make-guest.sh. The RAM is a shared file of our own (memory-backend-file), so a dump is a copy of that file
while the guest is stopped: RAM only, in guest-physical order and without the hole below 4 GiB. pmemsave would put
the VGA window and the firmware's ROM in place of what the RAM holds there.
"""

import argparse
import ctypes
import hashlib
import json
import os
import queue
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


STARTED = time.monotonic()


def say(text):
    print(f"run-guest: {time.monotonic() - STARTED:4.0f} s: {text}", flush=True)


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

    def command(self, name):
        try:
            self.file.write(json.dumps({"execute": name}) + "\n")
            self.file.flush()
        except OSError as error:
            raise Failure(f"{name}: {error}") from error
        while line := self.file.readline():
            answer = json.loads(line)
            if "return" in answer:
                return
            if "error" in answer:
                raise Failure(f"{name}: {answer['error'].get('desc')}")
        raise Failure(f"{name}: QEMU closed the monitor")


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


def changed_share(first, second):
    changed = pages = 0
    with open(first, "rb") as one, open(second, "rb") as two:
        while block := one.read(BLOCK):
            other = two.read(BLOCK)
            pages += len(block) // PAGE
            if block != other:
                changed += sum(block[at : at + PAGE] != other[at : at + PAGE] for at in range(0, len(block), PAGE))
    return f"changed between the dumps: {changed} of {pages} pages ({100 * changed / pages:.1f} %)"


def ram_directory(size, fallback):
    """tmpfs when it has room: on a disk the kernel would keep writing the guest's RAM back while it runs."""
    try:
        if shutil.disk_usage("/dev/shm").free > size + (256 << 20) and os.access("/dev/shm", os.W_OK):
            return "/dev/shm"
    except OSError:
        pass
    return fallback


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(options):
    size = options.memory << 20
    report = []
    process = None
    here, there = socket.socketpair()
    ram_handle, ram_path = tempfile.mkstemp(prefix="guest-ram-", dir=ram_directory(size, options.work))
    try:
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-accel", "tcg,thread=multi", "-machine", "pc,memory-backend=ram", "-smp", "2"]
        command += ["-m", f"{options.memory}M"]
        command += ["-object", f"memory-backend-file,id=ram,size={size},mem-path={ram_path},share=on"]
        command += ["-kernel", options.kernel, "-initrd", options.initrd]
        command += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
        command += ["-drive", f"file={options.disk},format=raw,if=virtio,snapshot=on,cache=unsafe"]
        command += ["-rtc", "base=2025-01-01T12:00:00,clock=vm"]
        command += ["-serial", "stdio"]
        command += ["-chardev", f"socket,id=monitor,fd={there.fileno()}", "-mon", "chardev=monitor,mode=control"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(there.fileno(),),
            env=dict(os.environ, TMPDIR=options.work),
            preexec_fn=die_with_parent,
            start_new_session=True,  # ^C comes to us alone
        )
        there.close()
        serial = Serial(process, os.path.join(options.work, "serial.log"))
        monitor = Monitor(here)
        # QEMU has the file open now; without a name it cannot outlive the two of us.
        os.unlink(ram_path)
        ram_path = None
        with open(ram_handle, "rb", closefd=False) as ram:
            serial.wait_for("READY", STARTED + options.timeout)
            time.sleep(SETTLE_SECONDS)
            monitor.command("stop")
            say("stopped")
            report += dump(ram, size, options.dump)
            if options.later:
                seconds, path = options.later.split(":", 1)
                monitor.command("cont")
                serial.send("go")
                serial.wait_for("WORKING", time.monotonic() + 60)
                serial.follow(int(seconds))
                monitor.command("stop")
                say("stopped again")
                report += dump(ram, size, path)
                report.append(f"later: {options.later}")
                report.append(changed_share(options.dump, path))
    finally:
        if process and process.poll() is None:
            process.kill()
            process.wait()
        os.close(ram_handle)
        if ram_path:
            os.unlink(ram_path)
    report.append(f"seconds from power-on to the last dump: {time.monotonic() - STARTED:.0f}")
    return report


def main():
    parser = argparse.ArgumentParser()
    for name in ("kernel", "initrd", "disk", "work", "dump", "manifest"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--memory", type=int, required=True, help="MiB")
    parser.add_argument("--timeout", type=int, required=True, help="seconds until READY")
    parser.add_argument("--later", help="SECONDS:FILE")
    parser.add_argument("--made-from", required=True, help="a file to open the manifest with")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        report = run(options)
    except Failure as failure:
        say(f"{failure}; the guest's console is in {options.work}/serial.log")
        return 1
    except KeyboardInterrupt:
        return 130
    with open(options.made_from, encoding="utf-8") as made_from:
        manifest = f"memory: {options.memory} MiB\n{made_from.read()}" + "".join(line + "\n" for line in report)
    with open(options.manifest + ".tmp", "w", encoding="utf-8") as out:
        out.write(manifest)
    os.rename(options.manifest + ".tmp", options.manifest)
    print(manifest, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())

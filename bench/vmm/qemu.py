# SPDX-License-Identifier: Apache-2.0
"""A QEMU under measurement: spawned, spoken to over its monitor, the count on its console listened to."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time

import vm

POLL_SECONDS = 0.002
TIMEOUT_SECONDS = 120
PRIVATE = ("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:")


class Failure(Exception):
    pass


class Lines:
    """Reads a socket by lines, until a deadline."""

    def __init__(self, link):
        self.link, self.rest = link, b""

    def next(self, deadline):
        while b"\n" not in self.rest:
            self.link.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                received = self.link.recv(65536)
            except TimeoutError:
                return None
            if not received:
                raise Failure("QEMU hung up")
            self.rest += received
        line, self.rest = self.rest.split(b"\n", 1)
        return line


class Guest:
    """A QEMU with the benchmark's guest, in its own process group, until the end of the with statement.

    command(qemu) makes the command line to start out of QEMU's own; by default it is that.
    """

    def __init__(self, hardware, arguments, command=lambda qemu: qemu):
        self.place = tempfile.TemporaryDirectory(prefix="vmm-bench-")
        monitor, console = (os.path.join(self.place.name, name) for name in ("monitor", "console"))
        qemu = hardware + arguments + ["-qmp", f"unix:{monitor},server=on,wait=off"]
        qemu += ["-chardev", f"socket,id=console,path={console}", "-serial", "chardev:console"]
        self.console_socket = socket.socket(socket.AF_UNIX)
        self.console_socket.bind(console)
        self.console_socket.listen()
        self.monitor_path = monitor
        self.monitor = self.console = None
        self.complaints = tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command(qemu),
            stdin=subprocess.DEVNULL,
            stdout=self.complaints,
            stderr=self.complaints,
            env=dict(os.environ, TMPDIR=self.place.name),
            preexec_fn=vm.die_with_parent,
            process_group=0,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.process.returncode is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        for link in (self.monitor and self.monitor.link, self.console and self.console.link, self.console_socket):
            if link:
                link.close()
        self.complaints.close()
        self.place.cleanup()

    def fail(self, what):
        self.complaints.seek(0)
        said = self.complaints.read().decode("utf-8", "replace").strip().splitlines()
        raise Failure(": ".join([what] + said[-1:]))

    def _connect(self, deadline):
        link = socket.socket(socket.AF_UNIX)
        while True:
            try:
                link.connect(self.monitor_path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.fail("QEMU did not start")
                time.sleep(0.001)
        self.monitor = Lines(link)
        self.monitor.next(deadline)
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        if not self.monitor:
            self._connect(time.monotonic() + TIMEOUT_SECONDS)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            self.monitor.link.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
            while line := self.monitor.next(deadline):
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise Failure(f"{name}: {answer['error'].get('desc')}")
        except (OSError, Failure) as error:
            self.fail(f"{name}: {error}")
        self.fail(f"{name}: no answer")

    def seconds(self):
        return time.monotonic() - self.started

    def wait_until_loaded(self):
        """Seconds from its start until the stream is taken in."""
        while self.command("query-status")["status"] == "inmigrate":
            time.sleep(POLL_SECONDS)
        return self.seconds()

    def go_on(self):
        if self.command("query-status")["status"] != "running":
            self.command("cont")

    def wait_for_beat(self):
        """Seconds from its start until the guest counts on."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        if not self.console:
            self.console_socket.settimeout(TIMEOUT_SECONDS)
            self.console = Lines(self.console_socket.accept()[0])
        while line := self.console.next(deadline):
            if line.startswith(b"beat "):
                return self.seconds()
        self.fail("the guest does not go on")

    def migrate(self, uri, poll_seconds):
        """Seconds that it takes the stopped guest, which then is as it was, but for a moment of running."""
        begin = time.monotonic()
        self.command("migrate", uri=uri)
        while (status := self.command("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled"):
                self.fail(f"{uri}: {status}")
            time.sleep(poll_seconds)
        # QEMU answers once more when it has closed the pipe and waited for the command at its other end.
        self.command("query-migrate")
        taken = time.monotonic() - begin
        self.command("cont")
        self.command("stop")
        return taken

    def private_bytes(self):
        """(private, anonymous) of all processes of the group, as /proc/PID/smaps_rollup counts them."""
        private = anonymous = 0
        for pid in group_members(self.process.pid):
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                    for line in rollup:
                        field, *value = line.split()
                        private += int(value[0]) * 1024 if field in PRIVATE else 0
                        anonymous += int(value[0]) * 1024 if field == "Anonymous:" else 0
            except (FileNotFoundError, ProcessLookupError):
                pass
        return private, anonymous


def group_members(group):
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                    if int(stat.read().rsplit(")", 1)[1].split()[2]) == group:
                        yield int(name)
            except (FileNotFoundError, ProcessLookupError):
                pass

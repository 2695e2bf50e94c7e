# SPDX-License-Identifier: Apache-2.0
"""The view and its peers: the same memory in each one's image, and each one's mount."""

import contextlib
import functools
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time

import report
import setup

MOUNT_SECONDS = 30
UNMOUNT_SECONDS = 5
VIEW, LITTLE_AHEAD, MINIMAL, SQUASHFUSE, SQUASHFS, EROFS = "view", "view, read_ahead=128K", "minimal server", "squashfuse", "kernel squashfs", "kernel erofs"


def versions():
    erofs = subprocess.run(["mkfs.erofs", "-V"], capture_output=True, text=True, check=False)
    return {
        "peers": f"{report.first_line('mksquashfs', '-version')}; {(erofs.stdout + erofs.stderr).splitlines()[0]}",
    }


class Place(setup.Setup):
    """The guest's memory in all its images, and where they are mounted."""

    def __init__(self, options):
        super().__init__(options)
        self.programs = options.programs
        self.raw = self.data_path("guest.raw")
        self.threads = len(os.sched_getaffinity(0))

    def program(self, name):
        return os.path.join(self.programs, name)

    # --- images of guest.raw

    @functools.cache
    def image(self, name):
        make = {VIEW: self._make_snapshot, SQUASHFUSE: self._make_squashfs, SQUASHFS: self._make_squashfs, EROFS: self._make_erofs}
        return make[name]()

    @functools.cache
    def _make_snapshot(self):
        out = self.data_path("view.vmsnap")
        self.run(self.convert("-f", "raw", "-o", "codec=lz4", self.raw, out))
        os.sync()
        return out

    @functools.cache
    def _make_squashfs(self):
        command = ["mksquashfs", self.raw, None, "-comp", "lz4", "-b", "128K", "-noappend", "-no-xattrs", "-no-progress", "-quiet"]
        return self._make_image("squashfs", command)

    @functools.cache
    def _make_erofs(self):
        # It packs directories only. Without a limit, zeros make extents of many MiB, of which each read decodes all that is before it:
        # a sixth of the speed.
        with tempfile.TemporaryDirectory(dir=self.data) as alone:
            os.link(self.raw, os.path.join(alone, "guest.raw"))
            return self._make_image("erofs", ["mkfs.erofs", "-zlz4", "-C65536", "--max-extent-bytes=131072", None, alone])

    def _make_image(self, kind, command):
        """Kept for as long as guest.raw stays what it is."""
        status = os.stat(self.raw)
        out = self.data_path(f"peer-{status.st_size}-{status.st_mtime_ns}.{kind}")
        if not os.path.exists(out):
            self.run([out + ".part" if word is None else word for word in command])
            os.rename(out + ".part", out)
            os.sync()
        return out

    # --- what runs

    def read(self, path, mode, *options):
        """What file-reader tells of the path."""
        done = subprocess.run([self.program("file-reader"), mode, *options, path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise setup.Missing(done.stderr.strip() or f"file-reader: {done.returncode}")
        return json.loads(done.stdout)

    def read_cold(self, path, mode, *options):
        told = self.read(path, mode, *options)
        if told["resident_before"]:
            raise setup.Missing(f"{path} is not cold: {told['resident_before']} bytes are in the page cache")
        return told

    def library(self, *words):
        """What vmsnap-bench tells of the same snapshot in its own process."""
        command = [self.program("vmsnap-bench"), *map(str, words)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    @contextlib.contextmanager
    def directory(self):
        path = tempfile.mkdtemp(prefix="mount-", dir=self.fast)
        try:
            yield path
        finally:
            if os.path.ismount(path):
                subprocess.run(["umount", "-l", path], check=False)
            os.rmdir(path)

    @contextlib.contextmanager
    def serving(self, command, unmount, tells=False):
        """A server in the foreground: its mount's directory and its process, when the mount is there, or says that it is ready."""
        with self.directory() as path, tempfile.TemporaryFile() as said, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind("")  # a name of the kernel's choice
            told.setblocking(False)
            environment = {**os.environ, "NOTIFY_SOCKET": "@" + told.getsockname()[1:].decode()}
            process = subprocess.Popen(command + [path], stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)
            try:
                deadline = time.monotonic() + MOUNT_SECONDS
                while not (select.select([told], [], [], 0)[0] if tells else os.path.ismount(path)):
                    if process.poll() is not None or time.monotonic() > deadline:
                        said.seek(0)
                        raise setup.Missing(f"{' '.join(command)}: {said.read().decode('utf-8', 'replace').strip()[-200:]}")
                    time.sleep(0.0005)
                yield path, process
            finally:
                # A QEMU that was killed keeps its mapping for a moment more.
                deadline = time.monotonic() + UNMOUNT_SECONDS
                while os.path.ismount(path) and time.monotonic() < deadline:
                    if subprocess.run(unmount + [path], capture_output=True, check=False).returncode:
                        time.sleep(0.02)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def view(self, snapshot, *more, **options):
        options = {"threads": self.threads, **options}
        words = ",".join(f"{key}={value}" for key, value in options.items())
        return self.serving([self.vmsnap, "mount", "-f", "-o", words, *more, snapshot], [self.vmsnap, "umount"], tells=True)

    @contextlib.contextmanager
    def kernel(self, kind, image):
        with self.directory() as path:
            self.run_quietly(["mount", "-t", kind, "-o", "loop,ro", image, path])
            try:
                yield path
            finally:
                self.run_quietly(["umount", path])

    def run_quietly(self, command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise setup.Missing(f"{' '.join(command)}: {done.stderr.strip()}")

    @contextlib.contextmanager
    def mounted(self, name):
        """The guest's memory as a file, of a new mount: neither the kernel nor the server has anything of it yet."""
        with contextlib.ExitStack() as stack:
            if name == MINIMAL:
                path, _ = stack.enter_context(self.serving([self.program("fuse-memory-server"), self.raw], ["fusermount3", "-u"]))
                yield os.path.join(path, "ram")
                return
            image = self.image(VIEW if name == LITTLE_AHEAD else name)
            setup.warm(image)
            if name in (VIEW, LITTLE_AHEAD):
                path, _ = stack.enter_context(self.view(image, **({"read_ahead": "128K"} if name == LITTLE_AHEAD else {})))
                yield regions(path)[0]
                return
            if name == SQUASHFUSE:
                path, _ = stack.enter_context(self.serving(["squashfuse_ll", "-f", image], ["fusermount3", "-u"]))
            else:
                path = stack.enter_context(self.kernel(name.split()[1], image))
            yield os.path.join(path, os.path.basename(self.raw))


def regions(mounted):
    """The files of a view's regions; a snapshot of raw memory has one."""
    directory = os.path.join(mounted, "regions")
    return [os.path.join(directory, name) for name in sorted(os.listdir(directory))]


def need_tools():
    for tool in ("mksquashfs", "squashfuse_ll", "mkfs.erofs", "fusermount3"):
        if not shutil.which(tool):
            raise setup.Missing(f"not installed: {tool}")


def in_turn(ways, rounds):
    """What each way gives in each round; every other round goes backwards, and one before them does not count."""
    results = {name: [] for name in ways}
    for number in range(-1, rounds):
        names = list(ways)
        for name in names if number % 2 == 0 else reversed(names):
            result = ways[name](number)
            if number >= 0:
                results[name].append(result)
    return results

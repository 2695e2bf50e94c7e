# SPDX-License-Identifier: Apache-2.0
"""What is measured, and on what: vmsnap's command lines, the guest's streams, snapshots made of them."""

import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

import qemu
import stream
import vm

MEGABYTES = 1024
GIGA = 1e9


class Missing(Exception):
    """What a figure needs is not there; it is left out."""


class Setup:
    def __init__(self, options):
        self.vmsnap, self.data, self.rounds = options.vmsnap, options.data, options.rounds
        self.fast = tempfile.mkdtemp(prefix="vmm-bench-", dir="/dev/shm")
        work = os.path.join(self.data, "work")
        kernel, initrd = os.path.join(work, "boot/vmlinuz"), os.path.join(work, "initramfs.gz")
        self.hardware = {}
        for name in ("base", "child"):
            drive = f"file={self.data_path(name + '.qcow2')},format=qcow2,snapshot=on"
            self.hardware[name] = vm.hardware(MEGABYTES, kernel, initrd, drive)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.fast, ignore_errors=True)

    def data_path(self, name):
        return os.path.join(self.data, name)

    def fast_path(self, name):
        return os.path.join(self.fast, name)

    # --- the streams

    def mig(self, name):
        return self.data_path(name + ".mig")

    @functools.cache
    def stream(self, name):
        return stream.Stream(self.mig(name))

    @functools.cache
    def changed(self):
        """Bytes of RAM that differ between base and child."""
        return stream.changed_pages(self.stream("base"), self.stream("child"), vm.RAM_BLOCK)[0] * stream.PAGE

    # --- vmsnap's command lines, each in one place

    def convert(self, *arguments):
        return [self.vmsnap, "convert", "-q", *arguments]

    def save_uri(self, out, codec="lz4"):
        return "exec:" + shlex.join(self.convert("-f", "qemu", "-o", f"codec={codec}", "-", out))

    def incoming_uri(self, snapshot):
        return "exec:" + shlex.join(self.convert("-O", "qemu", snapshot, "-"))

    def clone(self, base, child):
        """To a function that makes the command which starts a QEMU as a clone out of that QEMU's own command."""
        return lambda command: [self.vmsnap, "restore", "--clone", "--base", base, child, "--exec", "--", *command]

    # --- snapshots

    @functools.cache
    def snapshot(self, name, codec="lz4", parent=None):
        """A snapshot of a stream in BENCH_DATA, made anew in each run: the program may be another one."""
        out = self.data_path(f"{name}-{codec}{'-over' if parent else ''}.vmsnap")
        command = self.convert("-f", "qemu", "-o", f"codec={codec}")
        command += ["-B", parent] if parent else []
        self.run(command + [self.mig(name), out])
        os.sync()
        return out

    def run(self, command):
        print("  " + shlex.join(command), file=sys.stderr, flush=True)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            raise Missing(f"{shlex.join(command)}: {said[-1] if said else done.returncode}")

    def need_command(self, name):
        done = subprocess.run([self.vmsnap, name, "--help"], capture_output=True, text=True, check=False)
        if f"vmsnap {name} " not in done.stdout:
            raise Missing(f"this vmsnap has no {name}")

    # --- guests

    def whole(self, name, uri):
        """The guest, its RAM QEMU's own, with all of it coming in."""
        return qemu.Guest(self.hardware[name], ["-incoming", uri])


def forget(*paths):
    """Out of the page cache; says whether they went."""
    os.sync()
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    resident = subprocess.run(["fincore", "-bnr", "-o", "RES", *paths], capture_output=True, check=False)
    return resident.returncode == 0 and sum(map(int, resident.stdout.split())) == 0


def warm(*paths):
    for path in paths:
        with open(path, "rb") as file:
            while file.read(1 << 20):
                pass


def cat_uri(path):
    return "exec:cat " + shlex.quote(path)

# SPDX-License-Identifier: Apache-2.0
"""What tests with clones share: guests that `vmsnap restore --clone` starts."""
import hashlib
import os
import subprocess

from guest import Console, command, die_with_parent
from view import VMSNAP, vmsnap

BALLOON = ["-device", "virtio-balloon-pci"]


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def save_base(guest):
    """Of a guest with a balloon, which then changes some more of its memory."""
    guest.work("load virtio_pci")
    guest.work("load virtio_balloon")
    guest.work("write 2")
    vmsnap("save", "--qmp", guest.socket, "--resume", "-q", "-o", "codec=lz4", "base.vmsnap")
    guest.work("write 4")
    guest.wait_tick()


class Clone(Console):
    def __init__(self, name, file, *options, of_qemu=()):
        self.socket = os.path.abspath(name + ".qmp")
        line = command(extra=[*BALLOON, "-qmp", f"unix:{self.socket},server=on,wait=off"])
        words = [VMSNAP, "restore", "--clone", "-q", *options, "--exec", file, "--", *line, *of_qemu]
        self.errors = name + ".err"
        super().__init__(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.errors, "wb"),
                                          preexec_fn=die_with_parent))

    def qemu(self):
        return int(subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True).stdout)

    def whole_tick(self):
        tick = self.wait_tick()
        assert tick.ok == tick.of, tick
        return tick

    def kill(self):
        self.process.kill()
        self.process.wait()

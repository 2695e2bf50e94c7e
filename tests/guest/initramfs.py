# SPDX-License-Identifier: Apache-2.0
"""The initramfs of the test guest: busybox, init, a few files of seeded content, the modules of the kernel that tests load."""

import hashlib
import os
import random
import stat
import tempfile

MODULES = ("virtio_pci", "virtio_balloon", "virtio_blk")
FILES = 5
FILE_BYTES = 512 << 10


class Archive:
    """A cpio archive in the "newc" form, which needs no root even for device nodes."""

    def __init__(self):
        self.parts = []
        self.count = 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.count += 1
        encoded = name.encode() + b"\0"
        fields = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def directory(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.add(name, stat.S_IFREG | mode, data)

    def end(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def contents():
    """Text, noise, zeros, counted numbers, and noise that comes again: what memory is made of."""
    rng = random.Random(4)
    noise = rng.randbytes(FILE_BYTES)
    text = b"".join(b"%d: the guest was here\n" % i for i in range(FILE_BYTES // 20))
    numbers = b"".join(i.to_bytes(4, "little") for i in range(FILE_BYTES // 4))
    return [text[:FILE_BYTES], noise, bytes(FILE_BYTES), numbers, noise[: FILE_BYTES // 2] * 2]


def module_files(release):
    """For each module the paths of what to load, in order; nothing where the kernel has it built in or the modules are not here."""
    root = f"/lib/modules/{release}"
    needs = {}
    try:
        with open(f"{root}/modules.dep", encoding="utf-8") as table:
            for line in table:
                path, _, others = line.partition(":")
                needs[os.path.basename(path).split(".")[0]] = [path] + others.split()
    except OSError:
        return root, {}
    # modules.dep names what a module needs with the last to load first.
    return root, {name: needs[name][::-1] for name in MODULES if name in needs}


def make(busybox, init, release):
    archive = Archive()
    for name in ("bin", "dev", "proc", "data", "modules"):
        archive.directory(name)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.file("bin/busybox", busybox, 0o755)
    archive.file("init", init, 0o755)
    sums = ""
    for number, data in enumerate(contents()[:FILES]):
        archive.file(f"data/file{number}", data)
        sums += f"{hashlib.md5(data).hexdigest()}  file{number}\n"
    archive.file("data/sums", sums.encode())
    root, modules = module_files(release)
    for path in sorted({path for order in modules.values() for path in order}):
        with open(os.path.join(root, path), "rb") as module:
            archive.file("modules/" + os.path.basename(path), module.read())
    for name in MODULES:
        order = [os.path.basename(path) for path in modules.get(name, [])]
        archive.file(f"modules/{name}.order", "".join(path + "\n" for path in order).encode())
    return archive.end()


def cached(directory, busybox_path, init_path, release):
    """The path of the initramfs in `directory`; made where it is not there. Several processes may do so at once."""
    with open(busybox_path, "rb") as one, open(init_path, "rb") as two, open(__file__, "rb") as three:
        busybox, init, program = one.read(), two.read(), three.read()
    key = hashlib.sha256(b"\0".join((busybox, init, program, release.encode()))).hexdigest()[:16]
    path = os.path.join(directory, f"initramfs-{key}.cpio")
    if not os.path.exists(path):
        os.makedirs(directory, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=directory)
        try:
            with open(handle, "wb") as out:
                out.write(make(busybox, init, release))
            os.rename(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise
    return path

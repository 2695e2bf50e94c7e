#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of fuzz_libvirt: save images of a guest of 16 KiB in each form, and bare compressed streams.

usage: make_libvirt_seeds.py DIRECTORY        needs zstd and lzop
"""
import bz2
import gzip
import lzma
import pathlib
import struct
import subprocess
import sys

PAGES = [bytes([n + 1]) * 4096 if n != 2 else bytes(4096) for n in range(4)]
RAM = len(PAGES) * 4096
XML = b"<domain type='qemu'><name>seed</name></domain>\0"
COOKIE = b"<cookie/>\0"


def short(text):
    return bytes([len(text)]) + text


def end_of_body():
    return struct.pack(">QBI", 0x10, 0x7E, 2)


def devices():
    json = b'{"page_size": 4096, "devices": []}'
    return struct.pack(">BBI", 0, 6, len(json)) + json


def stream():
    out = b"QEVM" + struct.pack(">IBI", 3, 7, 2) + b"pc"
    out += struct.pack(">BI", 1, 2) + short(b"ram") + struct.pack(">IIQ", 0, 4, RAM | 4)
    out += short(b"pc.ram") + struct.pack(">Q", RAM) + end_of_body() + struct.pack(">BI", 3, 2)
    for number, page in enumerate(PAGES):
        name = short(b"pc.ram") if number == 0 else b""
        flags = (2 if page == bytes(4096) else 8) | (0x20 if number else 0)
        out += struct.pack(">Q", number * 4096 | flags) + name + (b"\0" if flags & 2 else page)
    return out + end_of_body() + devices()


def sparse(begin):
    """With the capability mapped-ram; offsets are of the file in which the stream begins at `begin`."""
    out = b"QEVM" + struct.pack(">IBI", 3, 7, 2) + b"pc"
    out += b"\5" + short(b"configuration/capabilities") + struct.pack(">II", 1, 1) + short(b"mapped-ram")
    out += struct.pack(">BI", 1, 2) + short(b"ram") + struct.pack(">IIQ", 0, 4, RAM | 4)
    out += short(b"pc.ram") + struct.pack(">Q", RAM)
    bitmap_at = begin + len(out) + 28
    pages_at = (bitmap_at + 8 + 4095) // 4096 * 4096
    out += struct.pack(">IQQQ", 1, 4096, bitmap_at, pages_at) + struct.pack("<Q", 0b1011)
    out += bytes(pages_at - begin - len(out)) + b"".join(PAGES)
    return out + end_of_body() + struct.pack(">BI", 3, 2) + end_of_body() + devices()


def front(kind=0, magic=b"LibvirtQemudSave", order="<", version=2):
    data = XML + COOKIE + bytes(64)
    fields = struct.pack(order + "5I", version, len(data), 0, kind, len(XML))
    return (magic + fields).ljust(92, b"\0") + data


def program(*command):
    return subprocess.run(command, input=stream(), capture_output=True, check=True).stdout


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    compressed = [
        gzip.compress(stream(), mtime=0),
        bz2.compress(stream()),
        lzma.compress(stream()),
        program("lzop", "-c"),
        program("zstd", "-c"),
    ]
    part = b"LibvirtQemudPart"
    seeds = {
        "raw": front() + stream(),
        "raw-big-endian": front(order=">", version=1) + stream(),
        "raw-pipe": front(magic=part) + stream() + front()[:92],
        "raw-garbage": front() + stream() + b"garbage",
        "gzip-pipe": front(1, part) + compressed[0] + front(1)[:92],
        "gzip-twice": front(1) + compressed[0] + gzip.compress(b"", mtime=0) + bytes(9),
        "lzma": front(3) + lzma.compress(stream(), format=lzma.FORMAT_ALONE),
        "sparse": front(6) + sparse(len(front())),
        "sparse-bare": sparse(0),
    }
    for kind, name in enumerate(("gzip", "bzip2", "xz", "lzop", "zstd")):
        seeds[name] = front(kind + 1) + compressed[kind]
        seeds[name + "-bare"] = compressed[kind]
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()

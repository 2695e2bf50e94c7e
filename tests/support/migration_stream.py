#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a migration stream of QEMU to standard output, and what its blocks hold in the end into files.

A guest of two blocks is sent once, then worked on for some rounds, as a live save does: pages again, zero pages, and differences
(XBZRLE) against what the destination has."""
import argparse, random, struct, sys

ZERO, LIST, PAGE, EOS, CONTINUE, XBZRLE = 2, 4, 8, 16, 32, 64
MACHINE = b"pc-i440fx-7.2"
ZEROS = bytes(4096)


def short(text): return bytes([len(text)]) + text


def delta(old, new):
    """The changed bytes only, runs cut at 64 bytes."""
    def length(n): return bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])
    out, at, done = [], 0, 0
    while at < 4096:
        if old[at:at + 64] == new[at:at + 64]:
            at += 64
            continue
        while old[at] == new[at]: at += 1
        end = at
        while end < 4096 and old[end] != new[end]: end += 1
        out += [length(at - done), length(end - at), new[at:end]]
        at = done = end
    return b"".join(out)


class Stream:
    def __init__(self, out, section=2):
        self.out, self.section, self.last = out, section, None

    def put(self, *parts):
        for part in parts: self.out.write(part)

    def footer(self, section): self.put(b"\x7e", struct.pack(">I", section))
    def eos(self): self.put(struct.pack(">Q", EOS)), self.footer(self.section)
    def part(self, kind): self.put(bytes([kind]), struct.pack(">I", self.section))

    def head(self, blocks):
        self.put(b"QEVM\0\0\0\3\7", struct.pack(">I", len(MACHINE)), MACHINE)
        self.put(b"\1", struct.pack(">I", self.section), b"\3ram\0\0\0\0\0\0\0\4")
        self.put(struct.pack(">Q", sum(len(memory) for memory in blocks.values()) | LIST))
        for name, memory in blocks.items(): self.put(short(name), struct.pack(">Q", len(memory)))
        self.eos()

    def record(self, block, page, flag, *body):
        self.put(struct.pack(">Q", page * 4096 | flag | (CONTINUE if block == self.last else 0)))
        if block != self.last: self.put(short(block))
        self.last = block
        self.put(*body)

    def page(self, block, number, content):
        if bytes(content) != ZEROS: self.record(block, number, PAGE, content)
        else: self.record(block, number, ZERO, b"\0")

    def xbzrle(self, block, number, body):
        self.record(block, number, XBZRLE, b"\1", struct.pack(">H", len(body)), body)

    def devices(self):
        state = b"paused\0".ljust(100, b"\0")
        for section, name, body in (8, b"globalstate", struct.pack(">I", 7) + state), (9, b"cpu", bytes(range(256)) * 20):
            self.put(b"\4", struct.pack(">I", section), short(name), struct.pack(">II", 0, 1), body)
            self.footer(section)
        text = b'{"configuration": {}, "page_size": 4096, "devices": []}'
        self.put(b"\0\6", struct.pack(">I", len(text)), text)


def work(stream, rng, name, memory, per_round):
    pages = len(memory) // 4096
    for number in sorted(rng.randrange(pages) for _ in range(per_round)):
        old = bytes(memory[number * 4096:number * 4096 + 4096])
        kind = rng.randrange(4)
        if kind == 0: new = rng.randbytes(4096)
        elif kind == 1: new = bytes(4096)
        else:
            new = bytearray(old)
            for _ in range(rng.randrange(1, 9)): new[rng.randrange(4096)] ^= rng.randrange(256)
        body = delta(old, new)
        if kind > 1 and body: stream.xbzrle(name, number, body)
        else: stream.page(name, number, new)
        memory[number * 4096:number * 4096 + 4096] = new


def main():
    options = argparse.ArgumentParser()
    options.add_argument("ram", help="content of pc.ram when the save begins")
    options.add_argument("--rounds", type=int, default=0)
    options.add_argument("--pages", type=int, default=200, help="worked on in each round")
    options.add_argument("--backwards", action="store_true", help="send the last page first")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--truth", help="where pc.ram goes as it is in the end")
    args = options.parse_args()
    rng = random.Random(args.seed)
    with open(args.ram, "rb") as file: ram = bytearray(file.read())
    blocks = {b"pc.ram": ram, b"vga.vram": bytearray(rng.randbytes(8192) + bytes(57344))}
    stream = Stream(sys.stdout.buffer)
    stream.head(blocks)
    stream.part(2)
    for name, memory in blocks.items():
        order = range(len(memory) // 4096)
        view = memoryview(bytes(memory))
        for number in reversed(order) if args.backwards else order: stream.page(name, number, view[number * 4096:number * 4096 + 4096])
    stream.eos()
    for turn in range(args.rounds):
        stream.part(2)
        work(stream, rng, b"pc.ram", ram, args.pages)
        work(stream, rng, b"vga.vram", blocks[b"vga.vram"], 3)
        stream.eos()
    stream.part(3)
    stream.eos()
    stream.devices()
    if args.truth:
        with open(args.truth, "wb") as file: file.write(ram)


main()

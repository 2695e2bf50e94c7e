# SPDX-License-Identifier: Apache-2.0
"""Takes QEMU's migration streams apart, independently of the library that is measured on them."""

import array
import collections
import mmap
import os
import struct

PAGE = 4096
START, PART, END, FULL, CONFIGURATION, COMMAND, FOOTER = 1, 2, 3, 4, 7, 8, 0x7E
ZERO, MEM_SIZE, DATA, EOS, CONTINUE = 0x02, 0x04, 0x08, 0x10, 0x20
ABSENT = -1

# One page of a RAM block: flags and address as they are in the stream, and where what follows the block's name lies.
Page = collections.namedtuple("Page", "block head start end")
Bytes = collections.namedtuple("Bytes", "start end")  # anything else, to be passed on as it is

U16, U32, U64 = (struct.Struct(">" + size) for size in "HIQ")


class Stream:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.blocks = {}  # sizes by name

    def parts(self):
        """Pages and Bytes, in order; ends with all that follows the RAM."""
        data, at = self.data, 8
        if data[:8] != b"QEVM\0\0\0\3":
            raise ValueError("not a migration stream")
        if data[at] == CONFIGURATION:
            at += 5 + U32.unpack_from(data, at + 1)[0]
        yield Bytes(0, at)
        self.last = None
        while data[at] != FULL:
            kind, begin = data[at], at
            if kind == COMMAND:
                at += 5 + U16.unpack_from(data, at + 3)[0]
                yield Bytes(begin, at)
                continue
            if kind not in (START, PART, END):
                raise ValueError(f"unknown element {kind} at {at}")
            at += 5
            if kind == START:
                at += 1 + data[at]
                if data[begin + 6 : at] != b"ram":
                    raise ValueError(f"unknown section at {begin}")
                at += 8
            yield Bytes(begin, at)
            at = yield from self._records(at)
            if data[at] == FOOTER:
                yield Bytes(at, at + 5)
                at += 5
        yield Bytes(at, len(data))

    def _records(self, at):
        data = self.data
        while True:
            head = U64.unpack_from(data, at)[0]
            flags, begin = head & (PAGE - 1), at
            at += 8
            if flags & EOS:
                yield Bytes(begin, at)
                return at
            if flags & MEM_SIZE:
                end = self._sizes(at, head & -PAGE)
                yield Bytes(begin, end)
                at = end
                continue
            if not flags & CONTINUE:
                end = at + 1 + data[at]
                self.last = data[at + 1 : end].decode()
                at = end
            if flags & ~CONTINUE not in (ZERO, DATA):
                raise ValueError(f"unknown record {flags:#x} at {begin}")
            end = at + (1 if flags & ZERO else PAGE)
            yield Page(self.last, head, at, end)
            at = end

    def _sizes(self, at, total):
        while total > 0:
            name = self.data[at + 1 : at + 1 + self.data[at]].decode()
            at += 1 + len(name)
            self.blocks[name] = U64.unpack_from(self.data, at)[0]
            at += 8
            total -= self.blocks[name]
        return at

    def pages(self, block):
        """Where each page of the block lies in the stream; ABSENT where it is zero."""
        places = None
        for part in self.parts():
            if isinstance(part, Page) and part.block == block:
                if places is None:
                    places = array.array("q", [ABSENT]) * (self.blocks[block] // PAGE)
                places[part.head // PAGE] = part.start if part.head & DATA else ABSENT
        return places

    def write_without(self, block, path):
        """The same stream with no page of the block in it."""
        with open(path, "wb") as out:
            for part in self.parts():
                if isinstance(part, Bytes):
                    out.write(self.data[part.start : part.end])
                elif part.block != block:
                    name = part.block.encode()
                    out.write(U64.pack(part.head & ~CONTINUE) + bytes([len(name)]) + name)
                    out.write(self.data[part.start : part.end])

    def write_block(self, block, path):
        """The block as raw memory, with holes where it is zero."""
        with open(path, "wb") as out:
            os.truncate(out.fileno(), self.blocks.get(block, 0))
            for number, place in enumerate(self.pages(block)):
                if place != ABSENT:
                    out.seek(number * PAGE)
                    out.write(self.data[place : place + PAGE])
            os.truncate(out.fileno(), self.blocks[block])


def changed_pages(base, child, block):
    """How many pages of the block differ; how many of the child's are not zero; of how many."""
    zero, changed, filled = bytes(PAGE), 0, 0

    def page(stream, place):
        return zero if place == ABSENT else stream.data[place : place + PAGE]

    before, after = base.pages(block), child.pages(block)
    for old, new in zip(before, after):
        filled += new != ABSENT
        if old == ABSENT and new == ABSENT:
            continue
        changed += page(base, old) != page(child, new)
    return changed, filled, len(after)

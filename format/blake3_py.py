#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""BLAKE3, unkeyed, 32 bytes of output, in pure Python: written from the BLAKE3 specification, slow, for checking only.

`blake3_py.py FILE…` prints what `b3sum --no-names` prints; `blake3_py.py --selftest` runs published test vectors.
"""

from __future__ import annotations

import struct
import sys

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_BLOCK, _CHUNK = 64, 1024
_MASK = 0xFFFFFFFF


def _schedule() -> tuple[tuple[int, ...], ...]:
    order = tuple(range(16))
    rounds = []
    for _ in range(7):
        rounds.append(order)
        order = tuple(order[i] for i in _PERMUTATION)
    return tuple(rounds)


# The eight quarter rounds of a round: four columns, then four diagonals.
_QUARTERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
             (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
_SCHEDULE = _schedule()


def _compress(chaining: tuple[int, ...], words: tuple[int, ...], counter: int, length: int, flags: int) -> tuple[int, ...]:
    """The first eight words of the compression function's output: all that 32-byte hashing needs."""
    v = [*chaining, *_IV[:4], counter & _MASK, counter >> 32, length, flags]
    for order in _SCHEDULE:
        i = 0
        for ia, ib, ic, id_ in _QUARTERS:
            a, b, c, d = v[ia], v[ib], v[ic], v[id_]
            a = (a + b + words[order[i]]) & _MASK
            d ^= a
            d = (d >> 16) | (d << 16) & _MASK
            c = (c + d) & _MASK
            b ^= c
            b = (b >> 12) | (b << 20) & _MASK
            a = (a + b + words[order[i + 1]]) & _MASK
            d ^= a
            d = (d >> 8) | (d << 24) & _MASK
            c = (c + d) & _MASK
            b ^= c
            v[ia], v[ib], v[ic], v[id_] = a, (b >> 7) | (b << 25) & _MASK, c, d
            i += 2
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def _words(block: bytes) -> tuple[int, ...]:
    return struct.unpack("<16I", block.ljust(_BLOCK, b"\0"))


def _chunk(data: bytes, counter: int, last_flags: int) -> tuple[int, ...]:
    chaining: tuple[int, ...] = _IV
    blocks = max(1, -(-len(data) // _BLOCK))
    for i in range(blocks):
        block = data[i * _BLOCK:(i + 1) * _BLOCK]
        flags = (_CHUNK_START if i == 0 else 0) | ((_CHUNK_END | last_flags) if i == blocks - 1 else 0)
        chaining = _compress(chaining, _words(block), counter, len(block), flags)
    return chaining


def _subtree(data: bytes, first_chunk: int, last_flags: int) -> tuple[int, ...]:
    if len(data) <= _CHUNK:
        return _chunk(data, first_chunk, last_flags)
    # The left side is the largest power of two of whole chunks that leaves at least one byte on the right.
    left = _CHUNK << (((len(data) - 1) // _CHUNK).bit_length() - 1)
    words = _subtree(data[:left], first_chunk, 0) + _subtree(data[left:], first_chunk + left // _CHUNK, 0)
    return _compress(_IV, words, 0, _BLOCK, _PARENT | last_flags)


def blake3(data: bytes) -> bytes:
    """The 32-byte BLAKE3 hash of `data`."""
    return struct.pack("<8I", *_subtree(bytes(data), 0, _ROOT))


def _selftest() -> int:
    known = {
        0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
        1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
    }
    for length, digest in known.items():
        if blake3(bytes(i % 251 for i in range(length))).hex() != digest:
            print(f"blake3 of {length} bytes is wrong", file=sys.stderr)
            return 1
    return 0


def main(arguments: list[str]) -> int:
    if arguments == ["--selftest"]:
        return _selftest()
    for name in arguments:
        with open(name, "rb") as file:
            print(blake3(file.read()).hex())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

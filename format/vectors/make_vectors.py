#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the files of v1/ and their MANIFEST.json: an encoder written from SPEC.md alone, that can also break each rule.

    make_vectors.py            compares v1/ with what would be made; exit status 1 where they differ
    make_vectors.py --write    writes v1/
    make_vectors.py --listing  prints the listings and the digests that SPEC 16 and 17 hold

Files of a released version are never changed; new ones may be added. What comes out is the same on every machine, but for
the vectors marked "compressor" in the manifest: those hold what a real compressor gave, and stand as data.

The manifest, for each file: `sha256` of the file; `expected`: "ok" or "refused".
  ok:      `digest` of the snapshot, `metadata`, `regions` with kind, name, size and `sha256` of the content; for regions too large
           to hash (sha256 null) `pages`: [number, sha256 of the page] of each page that is not zero; `working_set`, where there is one:
           [region, first page, pages] of each of its ranges.
  refused: `code`: truncated, corrupt, unsupported, limit or parent_mismatch; `also`: codes that are right as well, where SPEC leaves it open;
           `refused_by`: the earliest of "open" (by seeking), "read" (opened, all regions read by seeking) and "check" (everything)
           that must refuse, where later ones must too and earlier ones may; `stream`: whether a reader from front to back "must"
           or "may" refuse; `hint`: words of the cause that decode.py gives.
  both:    `parents`: the files to supply for a child's ancestors, from its parent down to the one without a parent. They are all
           whole, and each but the first is the parent of the one before it, unless the refusal is about that: then "open" is to
           open them from the last on, each with the next as its parent, and to give the first to the file.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lz4.block
import xxhash
import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from blake3_py import blake3  # noqa: E402

FOLDER = Path(__file__).resolve().parent / "v1"
SPEC = FOLDER.parent.parent.parent / "SPEC.md"
LARGEST = 65536
PAGE = 4096
ZERO = bytes(PAGE)
UNKNOWN = (1 << 64) - 1
REGION, BLOCK, NODE, CLOSE, META, SEAL, CATALOG, PARENT = range(1, 9)
MEMORY, STATE = 1, 2
KINDS = {MEMORY: "memory", STATE: "state"}
STORE, LZ4, ZSTD, OVER = 0, 1, 2, 3
IN_PARENT = 1 << 63

Fields = dict[str, Any]
Tweak = Callable[[Fields, "Build"], None]


def xxh3(data: bytes, seed: int) -> int:
    return int(xxhash.xxh3_64_intdigest(data, seed=seed))


hash_page = functools.lru_cache(maxsize=None)(blake3)


@functools.lru_cache(maxsize=None)
def zeros(height: int) -> bytes:
    return hash_page(ZERO) if height == 0 else hash_page(zeros(height - 1) * 2)


class Tree:
    """SPEC 11 over the pages of a region: at(height, i) is the digest of the pages [i, i+1) * 2^height."""

    def __init__(self, pages: dict[int, bytes]) -> None:
        self.levels = [{n: hash_page(p) for n, p in pages.items()}]
        for height in range(40):
            below = self.levels[-1]
            pairs = {n // 2 for n in below}
            self.levels.append({n: hash_page(below.get(2 * n, zeros(height)) + below.get(2 * n + 1, zeros(height))) for n in pairs})

    def at(self, height: int, index: int) -> bytes:
        return self.levels[height].get(index, zeros(height))


# ---------------------------------------------------------------------------------------------------------------------
# Payloads

def zstd_frame(raw: bytes, *, descriptor: int = 0xA0, content: int | None = None, middle: bytes = b"") -> bytes:
    """A zstd frame made by hand: for each page its bytes up to the zeros at its end, then those, or one byte repeated."""
    out = b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + middle + struct.pack("<I", len(raw) if content is None else content)
    blocks: list[tuple[int, int, bytes]] = []
    for start in range(0, len(raw), PAGE):
        page = raw[start:start + PAGE]
        if len(set(page)) == 1:
            blocks.append((1, PAGE, page[:1]))
            continue
        head = page.rstrip(b"\0")
        blocks.append((0, len(head), head))
        if len(head) < PAGE:
            blocks.append((1, PAGE - len(head), b"\0"))
    for i, (kind, size, data) in enumerate(blocks):
        out += (size << 3 | kind << 1 | (i == len(blocks) - 1)).to_bytes(3, "little") + data
    return out


def lz4_repeat(byte: bytes, length: int) -> bytes:
    """An LZ4 block made by hand: one byte repeated `length` times. One literal, one match of distance 1, five literals."""
    rest = length - 6 - 4 - 15
    return b"\x1f" + byte + b"\x01\x00" + b"\xff" * (rest // 255) + bytes([rest % 255]) + b"\x50" + byte * 5


# RFC 8878, tables 15 and 17: the least length of each code, and how many bits follow.
LITERAL_CODES = [(n, 0) for n in range(16)] + [(16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4),
                                               (64, 6), (128, 7), (256, 8), (512, 9), (1024, 10), (2048, 11), (4096, 12)]
MATCH_CODES = [(n, 0) for n in range(3, 35)] + [(35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4),
                                                (83, 4), (99, 5), (131, 7), (259, 8), (515, 9), (1027, 10), (2051, 11), (4099, 12)]


def zstd_match(literals: bytes, distance: int, length: int) -> bytes:
    """The content of a compressed zstd block: raw literals, then one match. Each of the three code tables is one code (RLE mode)."""
    lit = max(i for i, (least, _) in enumerate(LITERAL_CODES) if least <= len(literals))
    match = max(i for i, (least, _) in enumerate(MATCH_CODES) if least <= length)
    offset = (distance + 3).bit_length() - 1
    size = len(literals)
    out = bytes([size << 3]) if size < 32 else struct.pack("<H", size << 4 | 1 << 2)
    bits, count = 1, 1
    for value, width in ((distance + 3 - (1 << offset), offset), (length - MATCH_CODES[match][0], MATCH_CODES[match][1]),
                         (size - LITERAL_CODES[lit][0], LITERAL_CODES[lit][1])):
        bits, count = bits << width | value, count + width
    return out + literals + bytes([1, 0x54, lit, offset, match]) + bits.to_bytes(-(-count // 8), "little")


def frame_over(raw: bytes, dictionary: bytes, places: list[int]) -> bytes:
    """A zstd frame of codec 3 made by hand: page k of `raw` as what differs from page places[k] of the dictionary."""
    blocks: list[tuple[int, int, bytes]] = []
    for k, place in enumerate(places):
        page, old = raw[k * PAGE:(k + 1) * PAGE], dictionary[place * PAGE:(place + 1) * PAGE]
        distance = len(dictionary) - place * PAGE + k * PAGE
        at = 0
        while at < PAGE:
            start = at
            while start < PAGE and page[start:start + 8] != old[start:start + 8]:
                start += 1
            end = start
            while end < PAGE and page[end] == old[end]:
                end += 1
            content = page[at:start] if end - start < 3 else zstd_match(page[at:start], distance, end - start)
            blocks.append((0 if end - start < 3 else 2, len(content), content))
            at = start if end - start < 3 else end
    size = len(raw)
    out = b"\x28\xb5\x2f\xfd" + (b"\x60" + struct.pack("<H", size - 256) if size < 65792 else b"\xa0" + struct.pack("<I", size))
    for i, (kind, length, content) in enumerate(blocks):
        out += (length << 3 | kind << 1 | (i == len(blocks) - 1)).to_bytes(3, "little") + content
    return out


def compress_over(codec: str, raw: bytes, dictionary: bytes, places: list[int]) -> bytes:
    if codec == "over":
        return frame_over(raw, dictionary, places)
    content = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(level=int(codec[4:] or 3), dict_data=content, write_content_size=True, write_checksum=False,
                                    write_dict_id=False).compress(raw)


def compress(codec: str, raw: bytes) -> tuple[int, bytes]:
    """Codec number and payload. "tiny": zstd frames made by hand."""
    if codec in ("tiny", "over"):
        payload = zstd_frame(raw)
        number = ZSTD
    elif codec.startswith("zstd"):
        payload = zstandard.ZstdCompressor(level=int(codec[4:] or 3), write_content_size=True, write_checksum=False,
                                           write_dict_id=False).compress(raw)
        number = ZSTD
    elif codec == "lz4":
        payload, number = lz4.block.compress(raw, store_size=False), LZ4
    elif codec == "lz4hc":
        payload, number = lz4.block.compress(raw, mode="high_compression", store_size=False), LZ4
    else:
        payload, number = raw, STORE
    return (number, payload) if number != STORE and len(payload) < len(raw) else (STORE, raw)


# ---------------------------------------------------------------------------------------------------------------------
# What is kept

def page(byte: str) -> bytes:
    return byte.encode() * PAGE


def fill(content: bytes) -> bytes:
    return content.ljust(PAGE, b"\0")


def noise(seed: int, length: int = PAGE) -> bytes:
    return b"".join(hashlib.sha256(struct.pack("<QQ", seed, i)).digest() for i in range(-(-length // 32)))[:length]


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def patch(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new):]


def prose(seed: int, length: int = PAGE) -> bytes:
    """Words in an order that depends on `seed`: compressible, unlike for each seed."""
    words = "guest page block region record node root close seal index copy zero raw head body check prior digest".split()
    order = noise(seed, length)
    return " ".join(words[b % len(words)] for b in order).encode()[:length]


@dataclass
class Region:
    kind: int
    name: str | bytes
    pages: dict[int, bytes]
    size: int
    guest_page_log2: int = 12
    placements: list[tuple[int, int, int]] = field(default_factory=list)
    announced: bool = True

    def __post_init__(self) -> None:
        """Nothing but zeros past the end."""
        last, rest = divmod(self.size, PAGE)
        if rest and last in self.pages:
            self.pages = {**self.pages, last: fill(self.pages[last][:rest])}

    @property
    def name_bytes(self) -> bytes:
        return self.name if isinstance(self.name, bytes) else self.name.encode()


@dataclass
class Meta:
    pairs: dict[str, str]


@dataclass
class Ancillary:
    type: int
    body: bytes


@dataclass
class WorkingSet:
    """To stand last. What is not None lies: the count, the tail's length, its magic and its zero."""
    ranges: list[tuple[int, int, int]]
    count: int | None = None
    body_bytes: int | None = None
    magic: bytes = bytes.fromhex("8B564D535753540A")
    zero: int = 0
    more: bytes = b""

    @property
    def type(self) -> int:
        return 132

    @property
    def body(self) -> bytes:
        out = struct.pack("<I", len(self.ranges) if self.count is None else self.count)
        for region, first, pages in self.ranges:
            out += struct.pack("<H", region) + first.to_bytes(5, "little") + pages.to_bytes(5, "little")
        out += self.more
        return out + self.magic + struct.pack("<II", len(out) + 16 if self.body_bytes is None else self.body_bytes, self.zero)


Item = Region | Meta | Ancillary | WorkingSet


def state(name: str, content: bytes) -> Region:
    pages = {i // PAGE: fill(content[i:i + PAGE]) for i in range(0, len(content), PAGE)}
    return Region(STATE, name, pages, len(content))


# ---------------------------------------------------------------------------------------------------------------------
# Structures as bytes. Each takes its fields from a dict, in which a tweak may have put other values before.

def pack_region(f: Fields) -> bytes:
    out = struct.pack("<BBHIQ", f["kind"], f["guest_page_log2"], f.get("name_bytes", len(f["name"])),
                      f.get("placement_count", len(f["placements"])), f["announced"]) + f["name"]
    return out + b"".join(struct.pack("<QQQ", *p) for p in f["placements"])


def pack_map(kinds: list[int]) -> bytes:
    pairs = kinds + [0] * (len(kinds) % 2)
    return bytes(pairs[i] | pairs[i + 1] << 4 for i in range(0, len(pairs), 2))


def copy_of(region: int, number: int) -> int:
    return region << 40 | number


def pack_named(numbers: list[int], count: int | None = None) -> bytes:
    return struct.pack("<H", len(numbers) if count is None else count) + b"".join(n.to_bytes(5, "little") for n in numbers)


def pack_block(f: Fields) -> bytes:
    packed = f["map"] if "map" in f else pack_map(f["kinds"])
    named = pack_named(f["named"], f.get("named_count")) if f["codec"] == OVER and "named" in f else b""
    return bytes(packed) + b"".join(struct.pack("<Q", c) for c in f["copies"]) + named + bytes(f["payload"])


def pack_node(f: Fields) -> bytes:
    present = f.get("present", sum(1 << i for i in f["entries"]))
    return int(present).to_bytes(32, "little") + b"".join(struct.pack("<QIQ32s", *e) for _, e in sorted(f["entries"].items()))


def pack_close(f: Fields) -> bytes:
    return struct.pack("<QIQQ32s", f["root_offset"], f["root_bytes"], f["root_check"], f["block_records"], f["digest"])


def pack_pair(key: bytes, value: bytes, key_bytes: int | None = None, value_bytes: int | None = None) -> bytes:
    return struct.pack("<HI", len(key) if key_bytes is None else key_bytes,
                       len(value) if value_bytes is None else value_bytes) + key + value


def pack_meta(f: Fields) -> bytes:
    return b"".join(pack_pair(*p) for p in f["pairs"])


def pack_seal(f: Fields) -> bytes:
    return struct.pack("<I32s", f["regions"], f["digest"])


def pack_parent(f: Fields) -> bytes:
    return struct.pack("<32sH", f["digest"], f.get("hint_bytes", len(f["hint"]))) + bytes(f["hint"])


def pack_catalog(f: Fields) -> bytes:
    meta = b"".join(pack_pair(*p) for p in f["pairs"])
    out = struct.pack("<II32s", f.get("regions", len(f["entries"])), f.get("meta_bytes", len(meta)), f["digest"])
    for region, size, close in f["entries"]:
        out += region + struct.pack("<Q", size) + close
    return out + meta + bytes(f.get("parent", b""))


PACK: dict[int, Callable[[Fields], bytes]] = {
    REGION: pack_region, BLOCK: pack_block, NODE: pack_node, CLOSE: pack_close, META: pack_meta, SEAL: pack_seal,
    CATALOG: pack_catalog, PARENT: pack_parent}


@dataclass
class Placed:
    """A record as it was written."""
    name: str
    type: int
    offset: int
    bytes: int
    head_check: int
    body: bytes
    fields: Fields


class Build:
    """Writes a file. A tweak changes the fields of one structure before it is signed; `before` puts something in front of one;
    `drop` leaves some out. Names: header, parent, meta 0…, ancillary 0…, region R, block R B, node R L I, close R, seal, catalog,
    trailer. With `parent` a child of that file, chosen as SPEC 12 says, but for pages that are in `choose` by (region, page): "zero",
    "same", "raw", "xor", ("copy", value); and for blocks whose codec is in `codecs`, or named pages
    in `named`, by (region, block)."""

    def __init__(self, items: list[Item], *, block_log2: int = 14, copy_window: int = 64, codec: str = "tiny", dedup: bool = True,
                 tweaks: dict[str, Tweak] | None = None, before: dict[str, Callable[[Build], None]] | None = None,
                 drop: tuple[str, ...] = (), features: list[tuple[int, int, str]] | None = None, parent: Build | None = None,
                 depth: int | None = None, hint: bytes | None = None, choose: dict[tuple[int, int], Any] | None = None,
                 codecs: dict[tuple[int, int], str] | None = None, named: dict[tuple[int, int], list[int]] | None = None) -> None:
        self.items, self.block_log2, self.copy_window, self.codec, self.dedup = items, block_log2, copy_window, codec, dedup
        self.tweaks, self.before, self.drop = tweaks or {}, before or {}, drop
        self.features = features or []
        self.file = ""
        self.parent, self.choose, self.codecs, self.named = parent, choose or {}, codecs or {}, named or {}
        self.depth = depth if depth is not None else parent.depth + 1 if parent is not None else 0
        self.hint = hint if hint is not None else parent.file.encode() if parent is not None else b""
        self.regions = [i for i in items if isinstance(i, Region)]
        self.in_parent: dict[bytes, int] = {}
        if parent is not None:
            self.features = [(0, 0, "parent"), *self.features]
            for r, region in reversed(list(enumerate(parent.regions))):
                self.in_parent.update({p: IN_PARENT | copy_of(r, n) for n, p in sorted(region.pages.items(), reverse=True)})
        self.out = bytearray()
        self.prior = 0
        self.records: dict[str, Placed] = {}
        self.order: list[Placed] = []
        self.record_count = 0
        self.block_ordinal = 0
        self.raw_at: dict[bytes, tuple[int, int, int]] = {}
        self.catalog_entries: list[tuple[bytes, int, bytes]] = []
        self.meta: dict[bytes, tuple[Any, ...]] = {}
        self.digests: list[bytes] = []
        self.header_check = 0

    @property
    def digest(self) -> bytes:
        return blake3(b"".join(self.digests))

    @property
    def parents(self) -> list[str]:
        return [] if self.parent is None else [self.parent.file, *self.parent.parents]

    def place(self, region: Region, number: int) -> bytes:
        """The parent's page at this place: SPEC 12."""
        assert self.parent is not None
        for other in self.parent.regions:
            if (other.kind, other.name_bytes) == (region.kind, region.name_bytes):
                page = other.pages.get(number, ZERO)
                return fill(page[:max(0, min(PAGE, region.size - number * PAGE))]) if region.announced else page
        return ZERO

    def counterpart_pages(self, region: Region) -> set[int]:
        assert self.parent is not None
        return {n for other in self.parent.regions if (other.kind, other.name_bytes) == (region.kind, region.name_bytes)
                for n in other.pages if n * PAGE < region.size}

    def tweak(self, name: str, fields: Fields) -> Fields:
        if name in self.tweaks:
            self.tweaks[name](fields, self)
        return fields

    # Header, record, trailer

    def header(self) -> None:
        words = [sum(1 << b for w, b, _ in self.features if w == word) for word in range(3)]
        f = self.tweak("header", {
            "magic": bytes.fromhex("89564D530D0A1A0A"), "version": 1, "header_bytes": None, "incompatible": words[0],
            "read_compatible": words[1], "compatible": words[2], "block_log2": self.block_log2, "page_log2": 12, "parent_depth": self.depth,
            "copy_window": self.copy_window, "feature_names": None, "zero": 0,
            "table": [(w, b, n.encode()) for w, b, n in sorted(self.features)]})
        table = b"".join(struct.pack("<BB46s", *entry) for entry in f["table"]) + f.get("tail", b"")
        names = len(f["table"]) if f["feature_names"] is None else f["feature_names"]
        length = 64 + len(table) if f["header_bytes"] is None else f["header_bytes"]
        fixed = struct.pack("<8sIIQQQBBHIII", f["magic"], f["version"], length, f["incompatible"], f["read_compatible"],
                            f["compatible"], f["block_log2"], f["page_log2"], f["parent_depth"], f["copy_window"], names, f["zero"])
        self.header_check = xxh3(fixed + table, 0) ^ f.get("spoil_check", 0)
        self.out += fixed + struct.pack("<Q", self.header_check) + table
        self.prior = self.header_check

    def record(self, name: str, type_: int, fields: Fields) -> Placed:
        if name in self.before:
            self.before[name](self)
        f: Fields = {"magic": b"vmsr", "type": type_, "codec": 0, "region": 0, "aux": 0, "number": 0, "prior": self.prior, **fields}
        self.tweak(name, f)
        body = f["body"] if "body" in f else PACK[type_](f)
        body += f.get("tail", b"")
        offset = len(self.out)
        head = struct.pack("<4sBBHIIQQQ", f["magic"], f["type"], f["codec"], f["region"], f.get("body_bytes", len(body)), f["aux"],
                           f["number"], xxh3(body, 0) ^ f.get("spoil_body_check", 0), f["prior"])
        check = xxh3(head, offset + f.get("moved", 0)) ^ f.get("spoil_head_check", 0)
        placed = Placed(name, f["type"], offset, f.get("body_bytes", len(body)) + 48, check, body, f)
        if name not in self.drop:
            self.out += head + struct.pack("<Q", check) + body
            self.prior = f.get("prior_after", check)
            self.records[name] = placed
            self.order.append(placed)
            self.record_count += 1
        return placed

    def trailer(self) -> None:
        catalog = self.records.get("catalog") or self.order[-1]
        f = self.tweak("trailer", {
            "magic": bytes.fromhex("8A564D53454E440A"), "file_bytes": len(self.out) + 64, "catalog_offset": catalog.offset,
            "catalog_bytes": catalog.bytes, "zero": 0, "catalog_check": catalog.head_check, "header_check": self.header_check,
            "records": self.record_count})
        raw = struct.pack("<8sQQIIQQQ", f["magic"], f["file_bytes"], f["catalog_offset"], f["catalog_bytes"], f["zero"],
                          f["catalog_check"], f["header_check"], f["records"])
        check = xxh3(raw, (f["catalog_offset"] + f["catalog_bytes"]) % (1 << 64)) ^ f.get("spoil_check", 0)
        self.out += raw + struct.pack("<Q", check)

    # Content

    def block_fields(self, region: int, number: int, pages: list[bytes]) -> Fields:
        first = number << self.block_log2 - 12
        kinds: list[int] = []
        copies: list[int] = []
        raw = b""
        foreign: set[tuple[int, int]] = set()
        for i, content in enumerate(pages):
            if content == ZERO:
                kinds.append(0)
                continue
            source = self.raw_at.get(content) if self.dedup else None
            if source is not None:
                block = (source[0], source[1] >> self.block_log2 - 12)
                own = block == (region, number)
                if own or (self.block_ordinal - source[2] <= self.copy_window and len(foreign | {block}) == 1):
                    if not own:
                        foreign.add(block)
                    kinds.append(4)
                    copies.append(copy_of(source[0], source[1]))
                    continue
            kinds.append(2)
            raw += content
            self.raw_at[content] = (region, first + i, self.block_ordinal)
        codec, payload = compress(self.codec, raw) if raw else (STORE, b"")
        return {"codec": codec, "region": region, "aux": len(pages), "number": number, "kinds": kinds, "copies": copies,
                "payload": payload, "raw": raw}

    def child_block_fields(self, index: int, region: Region, number: int, pages: list[bytes]) -> Fields:
        """As block_fields(), for a child."""
        first = number << self.block_log2 - 12
        codec = self.codecs.get((index, number), self.codec)
        kinds: list[int] = []
        copies: list[int] = []
        stored: dict[int, bytes] = {}
        foreign: set[tuple[int, int]] = set()
        places = [self.place(region, first + i) for i in range(len(pages))]

        def own_copy(content: bytes) -> int | None:
            source = self.raw_at.get(content) if self.dedup else None
            if source is None:
                return None
            block = (source[0], source[1] >> self.block_log2 - 12)
            if block != (index, number):
                if self.block_ordinal - source[2] > self.copy_window or len(foreign | {block}) > 1:
                    return None
                foreign.add(block)
            return copy_of(source[0], source[1])

        for i, content in enumerate(pages):
            wish = self.choose.get((index, first + i))
            copy: int | None = None
            if wish is None and content == places[i]:
                wish = "same"
            if wish is None and content == ZERO:
                wish = "zero"
            if wish is None:
                copy = self.in_parent.get(content) or own_copy(content)
                equal = sum(a == b for a, b in zip(content, places[i]))
                wish = ("copy", copy) if copy is not None else "xor" if equal - content.count(0) >= 256 and not codec.startswith("over") else "raw"
            if isinstance(wish, tuple):
                kinds.append(4)
                copies.append(wish[1])
                continue
            kinds.append(("zero", "same", "raw", "xor").index(wish))
            if wish in ("raw", "xor"):
                stored[i] = content if wish == "raw" else xor(content, places[i])
            if wish == "raw":
                self.raw_at[content] = (index, first + i, self.block_ordinal)
        raw = b"".join(stored.values())
        named = self.named.get((index, number), [])
        dictionary = b"".join([*(self.place(region, n) for n in named), *places])
        if not raw:
            chosen, payload = STORE, b""
        elif codec.startswith("over"):
            chosen, payload = OVER, compress_over(codec.replace("over-", ""), raw, dictionary, [len(named) + i for i in stored])
        else:
            chosen, payload = compress(codec, raw)
        return {"codec": chosen, "region": index, "aux": len(pages), "number": number, "kinds": kinds, "copies": copies,
                "payload": payload, "raw": raw, "named": named, "dictionary": dictionary}

    def region(self, index: int, region: Region) -> None:
        opened = self.record(f"region {index}", REGION, {
            "region": index, "kind": region.kind, "guest_page_log2": region.guest_page_log2, "name": region.name_bytes,
            "placements": list(region.placements), "announced": region.size if region.announced else UNKNOWN})
        body = pack_region(opened.fields)  # without a tail: what the catalog repeats
        pages_log2 = self.block_log2 - 12
        total = -(-region.size // PAGE)
        blocks = -(-total // (1 << pages_log2))
        tree = Tree({n: p for n, p in region.pages.items() if p != ZERO})
        level = 0
        while 256 ** (level + 1) < blocks:
            level += 1
        waiting: list[tuple[int, dict[int, tuple[int, int, int, bytes]]] | None] = [None] * (level + 1)
        root: Placed | None = None
        count = 0

        def add(at_level: int, number: int, child: Placed) -> None:
            held = waiting[at_level] or (number >> 8, {})
            digest = tree.at(pages_log2 + 8 * at_level, number)
            held[1][number & 255] = (child.offset, child.bytes, child.head_check, digest)
            waiting[at_level] = held

        def flush(next_block: int | None) -> None:
            nonlocal root
            for at_level in range(level + 1):
                held = waiting[at_level]
                if held is None or (next_block is not None and next_block >> 8 * (at_level + 1) == held[0]):
                    continue
                placed = self.record(f"node {index} {at_level} {held[0]}", NODE, {
                    "region": index, "aux": at_level, "number": held[0], "entries": held[1]})
                waiting[at_level] = None
                if at_level == level:
                    root = placed
                else:
                    add(at_level + 1, held[0], placed)

        numbers = {n >> pages_log2 for n, p in region.pages.items() if p != ZERO}
        if self.parent is not None:
            everywhere = {n for n, p in region.pages.items() if p != ZERO} | self.counterpart_pages(region)
            numbers = {n >> pages_log2 for n in everywhere if region.pages.get(n, ZERO) != self.place(region, n)}
            numbers |= {n >> pages_log2 for r, n in self.choose if r == index}
        for number in sorted(numbers):
            flush(number)
            first = number << pages_log2
            pages = [region.pages.get(n, ZERO) for n in range(first, min(first + (1 << pages_log2), total))]
            fields = self.block_fields(index, number, pages) if self.parent is None else self.child_block_fields(
                index, region, number, pages)
            placed = self.record(f"block {index} {number}", BLOCK, fields)
            self.block_ordinal += 1
            count += 1
            add(0, number, placed)
        flush(None)
        sized = opened.fields.get("size", region.size)
        digest = blake3(body[:8] + struct.pack("<Q", sized % (1 << 64)) + body[16:] + tree.at(40, 0))
        closed = self.record(f"close {index}", CLOSE, {
            "region": index, "number": sized, "root_offset": root.offset if root else 0, "root_bytes": root.bytes if root else 0,
            "root_check": root.head_check if root else 0, "block_records": count, "digest": digest})
        self.catalog_entries.append((body, closed.fields["number"], pack_close(closed.fields)))
        self.digests.append(closed.fields["digest"])

    def build(self) -> Build:
        self.header()
        counts = {"region": 0, "meta": 0, "ancillary": 0}
        parent = b""
        if self.parent is not None:
            parent = pack_parent(self.record("parent", PARENT, {"digest": self.parent.digest, "hint": self.hint}).fields)
        for item in self.items:
            if isinstance(item, Region):
                self.region(counts["region"], item)
                counts["region"] += 1
            elif isinstance(item, Meta):
                placed = self.record(f"meta {counts['meta']}", META, {
                    "pairs": [(k, v) for k, v in sorted((k.encode(), v.encode()) for k, v in item.pairs.items())]})
                self.meta.update({p[0]: p for p in placed.fields["pairs"]})
                counts["meta"] += 1
            else:
                self.record(f"ancillary {counts['ancillary']}", item.type, {"body": item.body})
                counts["ancillary"] += 1
        sealed = self.record("seal", SEAL, {"regions": counts["region"], "digest": blake3(b"".join(self.digests))})
        self.record("catalog", CATALOG, {
            "digest": sealed.fields["digest"], "entries": list(self.catalog_entries),
            "pairs": [self.meta[k] for k in sorted(self.meta)], "parent": parent})
        if "trailer" in self.before:
            self.before["trailer"](self)
        if "trailer" not in self.drop:
            self.trailer()
        return self

    def result(self) -> bytes:
        return bytes(self.build().out)


# ---------------------------------------------------------------------------------------------------------------------
# The vectors

@dataclass
class Vector:
    name: str
    data: bytes
    entry: dict[str, Any]


VECTORS: list[Vector] = []


def add_vector(name: str, data: bytes, entry: dict[str, Any]) -> None:
    assert len(data) <= LARGEST, (name, len(data))
    assert all(v.name != name for v in VECTORS), name
    VECTORS.append(Vector(name, data, {"file": f"{name}.vmsnap", "sha256": hashlib.sha256(data).hexdigest(), **entry}))


def content_of(region: Region) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": KINDS[region.kind], "name": region.name_bytes.decode(), "size": region.size, "sha256": None}
    if region.size <= 1 << 26:
        total = -(-region.size // PAGE)
        out["sha256"] = hashlib.sha256(b"".join(region.pages.get(i, ZERO) for i in range(total))[:region.size]).hexdigest()
    else:
        out["pages"] = [[n, hashlib.sha256(p).hexdigest()] for n, p in sorted(region.pages.items()) if p != ZERO]
    return out


def good(name: str, note: str, items: list[Item], parents: list[str] | None = None, **options: Any) -> Build:
    build = Build(items, **options).build()
    metadata: dict[str, str] = {}
    for item in items:
        if isinstance(item, Meta):
            metadata.update(item.pairs)
    entry: dict[str, Any] = {"expected": "ok", "note": note, "digest": blake3(b"".join(build.digests)).hex(), "metadata": metadata,
                             "regions": [content_of(i) for i in items if isinstance(i, Region)]}
    if isinstance(items[-1] if items else None, WorkingSet):
        entry["working_set"] = [list(r) for r in items[-1].ranges]
    compressors = {options.get("codec", "tiny"), *options.get("codecs", {}).values()} - {"tiny", "store", "over"}
    if compressors:
        entry["compressor"] = " ".join(sorted(compressors))
    if build.parent is not None:
        entry["parents"] = build.parents if parents is None else parents
    build.file = f"{name}.vmsnap"
    add_vector(name, bytes(build.out), entry)
    return build


def refused(name: str, data: bytes, by: str, hint: str, code: str = "corrupt", also: tuple[str, ...] = (),
            stream: str = "must", parents: list[str] | None = None) -> None:
    entry: dict[str, Any] = {"expected": "refused", "code": code}
    if also:
        entry["also"] = list(also)
    entry |= {"refused_by": by, "stream": stream, "hint": hint}
    add_vector(name, data, entry if parents is None else {**entry, "parents": parents})


def put(**values: Any) -> Tweak:
    return lambda f, build: f.update(values)


def from_dictionary(*places: int) -> Tweak:
    """A block of codec 3 whose stored pages come from these pages of its dictionary, by a frame made by hand."""
    return lambda f, build: f.update(payload=frame_over(f["raw"], f["dictionary"], list(places)))


A, B, C, D, E = (page(c) for c in "ABCDE")


def base_items() -> list[Item]:
    """Two regions, copies in and between blocks, zero pages, a short last page, a state, metadata: in about 1.5 KiB."""
    return [
        Meta({"vm.name": "base"}),
        Region(MEMORY, "pc.ram", {0: A, 2: A, 3: B, 4: A, 5: C, 7: B, 8: fill(prose(1, 100))}, 8 * PAGE + 100,
               placements=[(0, 0, 4 * PAGE), (1 << 32, 4 * PAGE, PAGE)]),
        state("device", b"S" * 50),
    ]


def base(tweaks: dict[str, Tweak] | None = None, items: list[Item] | None = None, **options: Any) -> bytes:
    return Build(base_items() if items is None else items, tweaks=tweaks, **options).result()


def ram(pages: dict[int, bytes], count: int, size: int | None = None, **options: Any) -> Region:
    return Region(MEMORY, "pc.ram", pages, count * PAGE if size is None else size, **options)


def make_good() -> None:
    good("empty", "no region, no metadata", [])
    good("golden-example", "the example of SPEC 16", golden_items(), codec="store", copy_window=16)
    good("one-page", "one region of one page", [ram({0: A}, 1)], codec="store")
    good("one-byte", "one state of one byte", [state("s", b"x")], codec="store")
    good("zero-regions", "regions of size 0 and regions of zeros: no block, no index", [
        ram({}, 0), Region(MEMORY, "pc.bios", {}, 5 * PAGE + 1), state("none", b""), state("zeros", bytes(100)),
        Region(MEMORY, "largest", {}, 1 << 52)])
    mixed: dict[int, bytes] = {0: prose(1), 1: prose(2), 2: prose(1), 4: noise(3), 5: prose(4, 2000) + bytes(2096), 6: prose(2),
                               16: prose(5), 17: prose(1), 18: prose(5), 19: B, 31: B, 48: prose(2), 49: prose(6), 50: prose(1)}
    for codec in ("store", "lz4", "lz4hc", "zstd", "zstd19"):
        good(f"mixed-{codec}", "zero, repeated and mixed pages; zero blocks; blocks of 64 KiB",
             [Meta({"codec": codec}), ram(mixed, 70), state("device", prose(7, 5000))], codec=codec, block_log2=16)
    good("mixed-tiny", "the same, small: zstd frames made by hand", base_items())
    lz4_page = {"codec": LZ4, "payload": lz4_repeat(b"A", PAGE)}
    good("lz4-by-hand", "an LZ4 block made by hand", [ram({0: A}, 1)], tweaks={"block 0 0": put(**lz4_page)})
    good("noise-zstd", "a page that cannot be compressed is stored, the other block is not",
         [ram({0: noise(1), 4: A, 5: prose(1)}, 8)], codec="zstd")
    window = b"\x28\xb5\x2f\xfd\x80" + b"\x10" + struct.pack("<I", PAGE) + (PAGE << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"A"
    good("zstd-window", "a zstd frame with a window descriptor, not a single segment", [ram({0: A}, 1)],
         tweaks={"block 0 0": put(payload=window)})
    empty_last = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", PAGE - 256) + (PAGE << 3 | 1 << 1).to_bytes(3, "little") + b"A\x01\0\0"
    good("zstd-empty-block", "a zstd frame whose last block is empty; content size in two bytes", [ram({0: A}, 1)],
         tweaks={"block 0 0": put(payload=empty_last)})
    good("several-regions", "kinds, placements, guest page sizes, one name for a memory and a state", [
        Region(MEMORY, "pc.ram", {0: A, 100: B, 127: C}, 128 * PAGE, 12, [(0, 0, 64 * PAGE), (1 << 32, 64 * PAGE, 64 * PAGE)]),
        Region(MEMORY, "huge", {511: D, 512: A}, 1024 * PAGE, 21, [((1 << 64) - 512 * PAGE, 512 * PAGE, 512 * PAGE)]),
        Region(MEMORY, "largest guest page", {1: E}, 2 * PAGE, 30),
        Region(MEMORY, "/rom@etc/acpi/tables", {0: fill(b"DSDT")}, PAGE, placements=[(0xE0000, 0, 1), (0xE0000, 1, 1)]),
        state("pc.ram", b"a state with the name of a memory"),
        state("device", prose(9, 9000)),
        state("../../etc/passwd", b"a name is not a path"),
        state("zustand-\u00e4\u00f6\u00fc-\u72b6\u614b-\U0001f40c", b"UTF-8"),
        state("n" * 1023, b"the longest name")])
    good("many-placements", "64 placements", [
        Region(MEMORY, "pc.ram", {0: A}, 64 * PAGE, placements=[((64 - i) << 30, i * PAGE, PAGE - i) for i in range(64)])])
    good("many-regions", "200 regions", [state(f"state.{i}", b"%d" % i if i % 50 == 0 else b"") for i in range(200)])
    good("short-last-page", "regions whose last page is short; one is a copy, one is a copy's source", [
        Region(MEMORY, "a", {0: A, 1: fill(b"tail")}, PAGE + 10), Region(MEMORY, "b", {0: fill(b"tail"), 1: C}, 2 * PAGE),
        Region(MEMORY, "c", {4: fill(b"tail")}, 4 * PAGE + 4), Region(MEMORY, "d", {3: A}, 4 * PAGE + 1)])
    good("unknown-size", "sizes not announced; the last block is zero in one, short in another", [
        Region(MEMORY, "a", {0: A, 5: fill(b"tail")}, 5 * PAGE + 4, announced=False),
        Region(MEMORY, "b", {1: B}, 30 * PAGE + 1, announced=False, placements=[(0, 0, 30 * PAGE + 1)]),
        Region(MEMORY, "c", {}, 0, announced=False), Region(STATE, "d", {0: fill(b"state")}, 5, announced=False),
        Region(MEMORY, "e", {0: C, 256 * 4 - 1: D, 256 * 4: E}, 256 * 4 * PAGE + 1, announced=False),
        Region(MEMORY, "f", {0: C}, 256 * 4 * PAGE + 1, announced=False)])
    good("odd-pages", "blocks of 1, 3 and 15 pages", [
        Region(MEMORY, "a", {0: A}, PAGE), Region(MEMORY, "b", {0: A, 2: B}, 3 * PAGE),
        Region(MEMORY, "c", {14: C}, 15 * PAGE), Region(MEMORY, "d", {16: D, 18: C}, 19 * PAGE)], block_log2=16)
    blocks = 4
    good("two-levels", "300 blocks: nodes of two levels; first and last blocks of nodes", [
        Region(MEMORY, "pc.ram", {0: A, 255 * blocks: B, 256 * blocks: C, 299 * blocks + 3: D}, 300 * blocks * PAGE)])
    good("two-levels-first", "more than 256 blocks, of which only the first has a record", [
        Region(MEMORY, "pc.ram", {1: A}, 257 * blocks * PAGE)])
    good("two-levels-last", "more than 256 blocks, of which only the last has a record", [
        Region(MEMORY, "pc.ram", {256 * blocks: A}, 256 * blocks * PAGE + 1)])
    good("one-level-full", "exactly 256 blocks, all with a record: copies of one page", [
        Region(MEMORY, "pc.ram", {i * blocks: A for i in range(256)}, 256 * blocks * PAGE)], copy_window=1 << 14)
    good("three-levels", "65537 blocks: nodes of three levels", [
        Region(MEMORY, "pc.ram", {0: A, 65535 * blocks: B, 65536 * blocks: C}, 65537 * blocks * PAGE)])
    good("largest-region", "2^52 bytes, of which three pages are not zero: five levels", [
        Region(MEMORY, "pc.ram", {0: A, 1 << 39: B, (1 << 40) - 1: C}, 1 << 52)])
    good("largest-region-largest-block", "2^52 bytes in blocks of 4 MiB", [
        Region(MEMORY, "pc.ram", {0: A, (1 << 40) - 1: C}, 1 << 52)], block_log2=22)
    for block_log2 in (15, 18, 22):
        good(f"block-{block_log2}", f"blocks of 2^{block_log2} bytes", [
            Region(MEMORY, "pc.ram", {1: A, 6: B, 7: A, 1500: C}, 1501 * PAGE - 5)], block_log2=block_log2)
    good("ancillary", "records of unknown ancillary types, also empty and inside a region", [
        Ancillary(128, b""), *base_items()[:2], Ancillary(200, b"between regions"), base_items()[2], Ancillary(255, noise(1, 100))],
        before={"block 0 0": lambda b: void(b.record("x", 129, {"body": b"after REGION"})),
                "block 0 1": lambda b: void(b.record("y", 130, {"body": b"between blocks"})),
                "close 0": lambda b: void(b.record("z", 131, {"body": b"before CLOSE"}))})
    good("metadata", "META given three times, keys given twice, longest key, empty value", [
        Meta({"a": "1", "b": "2", "vm/name_x-y.z": "first"}), ram({0: A}, 1), Meta({"b": "", "c": "\u00e4\U0001f40c\n\t"}),
        Meta({"vm/name_x-y.z": "last", "k" * 255: "v" * 3000})])
    good("copies-only", "a block of nothing but copies", [ram({0: A, 4: A, 5: A}, 8)])
    good("copy-window-0", "copies within a block only", [ram({0: A, 1: A, 4: A, 5: A}, 8)], copy_window=0)
    good("copy-window-edge", "a copy from exactly copy_window BLOCK records before, across zero blocks and regions", [
        ram({0: A, 40: B, 80: C}, 100), state("device", b"AAAA" * 1024), Region(MEMORY, "last", {0: B, 3: B}, 4 * PAGE)],
        copy_window=3)
    good("copy-window-largest", "the largest copy window: 2^28 bytes of blocks", [ram({0: A, 4: A}, 8)], copy_window=1 << 14)
    good("copy-own-and-other", "copies from the own and from one other block", [ram({0: A, 1: B, 4: C, 5: B, 6: C, 7: A}, 8)])
    features = [(1, 0, "later-thing"), (1, 63, "n" * 46), (2, 5, "another"), (2, 6, "x")]
    good("future-compatible", "unknown features a reader may ignore, unknown ancillary types",
         [*base_items(), Ancillary(222, b"later")], features=features)


def make_working_sets() -> None:
    """Regions 0 and 1 are memories of 9 and 3 pages, region 2 is a state."""
    def items(last: Item) -> list[Item]:
        first = base_items()
        return [*first[:2], Region(MEMORY, "pc.bios", {1: D}, 3 * PAGE), first[2], last]

    def bad(name: str, hint: str, last: WorkingSet, code: str = "corrupt", **options: Any) -> None:
        refused(f"working-set-{name}", base(items=items(last), **options), "check", hint, code, stream="may",
                also=("corrupt",) if code == "limit" else ())

    good("working-set", "the order of first touch, in two memories; the last page is a short one", items(
        WorkingSet([(0, 4, 2), (1, 0, 3), (0, 8, 1), (0, 0, 1), (0, 7, 1), (0, 1, 3)])))
    good("working-set-most", "many ranges, each of one page", [ram({0: A}, 4000), WorkingSet([(0, i * 7 % 4000, 1) for i in range(4000)])])
    tail = WorkingSet([(0, 0, 1)]).body
    good("working-set-in-metadata", "a record of another type that ends like a working set is none", [
        ram({0: A}, 1), Ancillary(128, tail), Ancillary(222, tail)])
    bad("region", "of a region that is not there", WorkingSet([(3, 0, 1)]))
    bad("region-max", "of a region that is not there", WorkingSet([(0, 0, 1), (65535, 0, 1)]))
    bad("state", "of a state", WorkingSet([(2, 0, 1)]))
    bad("past-end", "past a region's end", WorkingSet([(0, 8, 2)]))
    bad("past-end-first", "past a region's end", WorkingSet([(1, 3, 1)]))
    bad("past-end-max", "past a region's end", WorkingSet([(0, (1 << 40) - 1, (1 << 40) - 1)]))
    bad("no-pages", "without pages", WorkingSet([(0, 1, 0)]))
    bad("twice", "in two ranges", WorkingSet([(0, 4, 1), (1, 0, 1), (0, 4, 1)]))
    bad("overlap", "in two ranges", WorkingSet([(0, 4, 1), (0, 2, 3)]))
    bad("empty", "without ranges", WorkingSet([]))
    bad("count-less", "tail does not fit", WorkingSet([(0, 0, 1), (0, 1, 1)], count=1))
    bad("count-more", "", WorkingSet([(0, 0, 1)], count=2))
    bad("count-limit", "over the limit", WorkingSet([(0, 0, 1)], count=65537), "limit")
    bad("count-max", "over the limit", WorkingSet([(0, 0, 1)], count=2**32 - 1), "limit")
    bad("body-empty", "too short", Ancillary(132, b""))
    bad("tail-missing", "too short", Ancillary(132, WorkingSet([(0, 0, 1)]).body[:-16]))
    bad("tail-bytes", "tail does not fit", WorkingSet([(0, 0, 1)], body_bytes=44))
    bad("tail-bytes-max", "tail does not fit", WorkingSet([(0, 0, 1)], body_bytes=2**32 - 1))
    bad("tail-magic", "tail does not fit", WorkingSet([(0, 0, 1)], magic=b"\x8bVMSWST\r"))
    bad("tail-zero", "tail does not fit", WorkingSet([(0, 0, 1)], zero=1))
    bad("bytes-more", "tail does not fit", WorkingSet([(0, 0, 1)], more=b"x"))
    good_set = WorkingSet([(0, 0, 1)])
    bad("body-check", "body_check does not fit", good_set, tweaks={"ancillary 0": put(spoil_body_check=1)})
    bad("number", "number of the head", good_set, tweaks={"ancillary 0": put(number=1)})
    refused("working-set-before-meta", base(items=[*items(good_set), Meta({"later": "x"})]), "check", "between WORKING_SET and SEAL",
            stream="may")
    refused("working-set-two", base(items=[*items(good_set), WorkingSet([(0, 1, 1)])]), "check", "between WORKING_SET and SEAL", stream="may")
    refused("working-set-in-region", base(before={"close 0": lambda b: void(b.record("x", 132, {"body": good_set.body}))}), "check",
            "inside a region", stream="may")
    refused("working-set-after-seal", base(before={"catalog": lambda b: void(b.record("x", 132, {"body": good_set.body}))}), "check",
            "between SEAL and CATALOG")


def void(_: Any) -> None:
    return None


def golden_items() -> list[Item]:
    return [Meta({"vm.name": "tiny"}), ram({1: A, 2: A, 3: B, 4: A}, 5, placements=[(0, 0, 5 * PAGE)]),
            state("dev", b"on\n")]


def flip(data: bytes, at: int, bits: int = 1) -> bytes:
    out = bytearray(data)
    out[at] ^= bits
    return bytes(out)


def place(name: str, **options: Any) -> Placed:
    """Where the base file has a record."""
    return Build(base_items(), **options).build().records[name]


def make_header() -> None:
    def header(name: str, hint: str, code: str = "corrupt", also: tuple[str, ...] = (), features: Any = None, **values: Any) -> None:
        refused(f"header-{name}", base({"header": put(**values)}, features=features), "open", hint, code, also)

    header("magic", "wrong magic", also=("truncated",), magic=b"\x89VMS\r\n\x1a\r")
    header("magic-text-mode", "wrong magic", also=("truncated",), magic=b"\x89VMS\n\x1a\n\0")
    header("check", "check does not fit", spoil_check=1)
    refused("header-bit", flip(base(), 44), "open", "check does not fit")
    header("version-0", "version 0", "unsupported", version=0)
    header("version-2", "version 2", "unsupported", version=2)
    header("version-max", f"version {2**32 - 1}", "unsupported", version=2**32 - 1)
    header("bytes-small", "header_bytes", header_bytes=63)
    header("bytes-zero", "header_bytes", header_bytes=0)
    header("bytes-large", "header_bytes", tail=bytes(48), feature_names=0)
    header("bytes-odd", "header_bytes", tail=bytes(1))
    header("bytes-max", "over the limit", "limit", ("corrupt",), header_bytes=2**32 - 1)
    header("names-max", "header_bytes", "corrupt", ("limit",), feature_names=2**32 - 1)
    header("feature-unnamed", "does not fit the feature bits", compatible=1)
    header("feature-unset", "does not fit the feature bits", table=[(2, 0, b"name")])
    header("feature-order", "does not fit the feature bits", compatible=3, table=[(2, 1, b"b"), (2, 0, b"a")])
    header("feature-twice", "does not fit the feature bits", compatible=3, table=[(2, 0, b"a"), (2, 0, b"a")])
    header("feature-word", "does not exist", compatible=1, table=[(3, 0, b"a")])
    header("feature-bit", "does not exist", compatible=1, table=[(2, 64, b"a")])
    header("feature-name-zero", "zero byte inside", compatible=1, table=[(2, 0, b"a\0b")])
    for value in (0, 13, 23, 255):
        header(f"block-log2-{value}", "block_log2", "limit", ("corrupt",), block_log2=value, copy_window=0)
    for value in (0, 11, 16):
        header(f"page-log2-{value}", "page_log2", also=("unsupported", "limit"), page_log2=value)
    header("parent-depth", "parent_depth does not fit", parent_depth=1)
    header("window", "copy_window", "limit", ("corrupt",), copy_window=(1 << 14) + 1)
    header("window-max", "copy_window", "limit", ("corrupt",), copy_window=2**32 - 1)
    header("reserved", "reserved field", zero=1)
    header("future-incompatible", "'frobnicate' (incompatible bit 7)", "unsupported", features=[(0, 7, "frobnicate")])
    header("future-incompatible-63", "incompatible bit 63", "unsupported", features=[(0, 63, "last"), (2, 1, "other")])
    # A child of which neither PARENT nor the catalog tells the parent.
    header("parent", "too short", also=("unsupported",), features=[(0, 0, "parent")], parent_depth=1)
    header("parent-no-depth", "parent_depth does not fit", also=("unsupported",), features=[(0, 0, "parent")])
    header("parent-too-deep", "chain of 65 parents", "limit", ("unsupported", "corrupt"), features=[(0, 0, "parent")],
           parent_depth=65)


def make_trailer() -> None:
    whole = base()
    size = len(whole)

    def trailer(name: str, hint: str, code: str = "corrupt", also: tuple[str, ...] = (), by: str = "open", **values: Any) -> None:
        refused(f"trailer-{name}", base({"trailer": put(**values)}), by, hint, code, also)

    def cut(name: str, at: int, hint: str) -> None:
        refused(f"cut-{name}", whole[:at], "open", hint, "truncated")

    catalog = place("catalog")
    block = place("block 0 1")
    cut("to-nothing", 0, "ends in its header")
    cut("in-magic", 5, "no valid trailer")
    cut("in-header", 63, "no valid trailer")
    cut("after-header", 64, "no valid trailer")
    cut("in-head", block.offset + 20, "no valid trailer")
    cut("in-body", block.offset + 50, "no valid trailer")
    cut("after-record", block.offset, "no valid trailer")
    cut("before-catalog", catalog.offset, "no valid trailer")
    cut("before-trailer", size - 64, "no valid trailer")
    cut("in-trailer", size - 1, "no valid trailer")
    refused("cut-zeros", whole[:-300] + bytes(300), "open", "no valid trailer", "truncated", ("corrupt",))
    refused("not-a-snapshot", b"This is a text, and not a short one: it has more bytes than a header and a trailer have.\n" * 4, "open",
            "wrong magic", "corrupt", ("truncated",))
    either = ("corrupt",)
    trailer("magic", "no valid trailer", "truncated", either, magic=b"\x8aVMSEND\r")
    trailer("check", "no valid trailer", "truncated", either, spoil_check=1 << 63)
    refused("trailer-bit", flip(whole, size - 16), "open", "no valid trailer", "truncated", either)
    refused("trailer-byte-after", whole + b"\0", "open", "no valid trailer", "truncated", either)
    refused("trailer-twice", whole + whole[-64:], "open", "of a file of", "corrupt", ("truncated",))

    def second(b: Build) -> None:
        b.trailer()

    refused("trailer-twice-signed", base({"trailer": lambda f, b: f.update(
        catalog_bytes=len(b.out) - b.records["catalog"].offset) if len(b.out) > size - 64 else None}, before={"trailer": second}),
        "open", "not the catalog")
    trailer("reserved", "reserved field", zero=1)
    trailer("file-bytes", "of a file of", also=("truncated",), file_bytes=size + 1)
    trailer("file-bytes-max", "over the limit", "limit", ("corrupt", "truncated"), file_bytes=2**64 - 1)
    trailer("catalog-offset", "do not end", catalog_offset=catalog.offset - 48)
    trailer("catalog-offset-max", "do not end", catalog_offset=2**64 - 64)
    trailer("catalog-offset-wraps", "do not end", catalog_offset=2**64 - 2**31, catalog_bytes=(2**31 + size - 64) % 2**32)
    trailer("catalog-offset-header", "lies in the header", also=("limit",), catalog_offset=0, catalog_bytes=size - 64)
    trailer("catalog-bytes", "do not end", catalog_bytes=catalog.bytes + 1)
    trailer("catalog-bytes-max", "do not end", also=("limit",), catalog_bytes=2**32 - 1)
    trailer("catalog-bytes-zero", "too small", catalog_bytes=0, catalog_offset=size - 64)
    seal = place("seal")
    trailer("catalog-is-seal", "not the catalog", catalog_offset=seal.offset, catalog_bytes=size - 64 - seal.offset,
            catalog_check=seal.head_check)
    trailer("catalog-check", "not the catalog", catalog_check=1)
    trailer("header-check", "another header", header_check=1)
    trailer("records", "counts 14 records", by="check", records=14)
    trailer("records-max", "counts", by="check", records=2**64 - 1)
    refused("trailer-bytes-between", base(before={"trailer": lambda b: b.out.extend(b"gap.")}), "open", "do not end")


def make_records() -> None:
    limit_also = ("corrupt", "truncated")
    for name, values, hint in (
            ("magic", {"magic": b"vmsR"}, "wrong magic"), ("head-check", {"spoil_head_check": 1}, "head_check does not fit"),
            ("body-check", {"spoil_body_check": 1}, "body_check does not fit"),
            ("head-moved", {"moved": 4096}, "head_check does not fit")):
        refused(f"record-{name}", base({"block 0 1": put(**values)}), "read", hint)
    block = place("block 0 1")
    whole = base()
    refused("record-bit-in-head", flip(whole, block.offset + 12), "read", "head_check does not fit")
    refused("record-bit-in-body", flip(whole, block.offset + block.bytes - 1), "read", "body_check does not fit")
    refused("record-zeroed", whole[:block.offset] + bytes(block.bytes) + whole[block.offset + block.bytes:], "read", "wrong magic")
    refused("record-body-zeroed", whole[:block.offset + 48] + bytes(block.bytes - 48) + whole[block.offset + block.bytes:], "read",
            "body_check does not fit")
    for name in ("region 0", "meta 0", "close 1", "seal"):
        at = place(name).offset
        refused(f"record-bit-in-{name.split()[0]}", flip(whole, at + 50), "check", "body_check does not fit")
    refused("record-bit-in-catalog", flip(whole, place("catalog").offset + 50), "open", "body_check does not fit", stream="must")
    for type_ in (0, 9, 127):
        refused(f"record-type-{type_}", base(before={"seal": lambda b, t=type_: void(b.record("x", t, {"body": b""}))}), "check",
                f"type {type_}", also=("unsupported",))
    refused("record-type-parent", base(before={"meta 0": lambda b: void(b.record("x", PARENT, {"body": bytes(34)}))}), "check",
            "PARENT record", also=("unsupported",))
    refused("record-codec", base({"meta 0": put(codec=1)}), "check", "codec of the head")
    refused("record-region", base({"meta 0": put(region=1)}), "check", "region of the head")
    refused("record-aux", base({"seal": put(aux=1)}), "check", "aux of the head")
    refused("record-number", base({"seal": put(number=1)}), "check", "number of the head")
    refused("record-region-aux", base({"region 0": put(aux=1)}), "check", "aux of the head")
    refused("record-close-aux", base({"close 0": put(aux=1)}), "check", "aux of the head")
    refused("record-catalog-number", base({"catalog": put(number=1)}), "open", "number of the head")
    refused("record-node-codec", base({"node 0 0 0": put(codec=1)}), "read", "codec of the head")
    refused("record-ancillary-number", base(items=[Ancillary(128, b""), *base_items()], tweaks={"ancillary 0": put(number=1)}), "check",
            "number of the head")
    refused("record-ancillary-body-check", base(items=[Ancillary(128, b"x"), *base_items()],
            tweaks={"ancillary 0": put(spoil_body_check=1)}), "check", "body_check does not fit")
    refused("record-body-bytes-limit", base({"block 0 1": put(body_bytes=(16 << 20) + 65537)}), "read", "index entry", "corrupt",
            ("limit", "truncated"))
    refused("record-body-bytes-max", base({"meta 0": put(body_bytes=2**32 - 1)}), "check", "over the limit", "limit", limit_also)
    refused("record-body-bytes-past-end", base({"meta 0": put(body_bytes=1 << 20)}), "check", "cut short", "corrupt", ("truncated",))
    refused("record-prior", base({"block 0 1": put(prior=1)}), "check", "prior does not fit")
    refused("record-prior-first", base({"meta 0": put(prior=0)}), "check", "prior does not fit")
    refused("record-prior-catalog", base({"catalog": put(prior=0)}), "check", "prior does not fit")
    refused("record-gap", base(before={"block 0 1": lambda b: b.out.extend(b"gap!")}), "check", "wrong magic")

    # A record of another snapshot of the same guest: at the same place, valid in itself.
    other = base(items=[Meta({"vm.name": "othr"}), *base_items()[1:]])
    end = block.offset + block.bytes
    refused("record-spliced", whole[:block.offset] + other[block.offset:end] + whole[end:], "read", "not the record that the index names")
    meta = place("meta 0")
    refused("record-spliced-meta", whole[:64] + other[64:meta.offset + meta.bytes] + whole[meta.offset + meta.bytes:], "check",
            "prior does not fit")
    first = place("block 0 0")
    refused("record-dropped", base(drop=("block 0 2",)), "read", "forwards or to itself",
            stream="may")
    refused("record-copied-over", whole[:block.offset] + whole[first.offset:first.offset + first.bytes]
            + whole[block.offset + first.bytes:], "read", "head_check does not fit")

    # Order
    def extra(type_: int, fields: Fields, name: str = "extra") -> Callable[[Build], None]:
        return lambda b: void(b.record(name, type_, fields))

    pair = {"pairs": [(b"k", b"v")]}
    refused("order-meta-in-region", base(before={"block 0 1": extra(META, pair)}), "check", "META inside a region")
    refused("order-meta-before-close", base(before={"close 1": extra(META, pair)}), "check", "META inside a region")
    refused("order-meta-after-seal", base(before={"catalog": extra(META, pair)}), "check", "between SEAL and CATALOG")
    refused("order-ancillary-after-seal", base(before={"catalog": extra(128, {"body": b""})}), "check", "between SEAL and CATALOG")
    refused("order-ancillary-after-catalog", base(before={"trailer": extra(128, {"body": b""})}), "open", "do not end")
    refused("order-seal-twice", base(before={"catalog": lambda b: void(
        b.record("extra", SEAL, {"regions": 2, "digest": blake3(b"".join(b.digests))}))}), "check", "between SEAL and CATALOG")
    refused("order-seal-missing", base(drop=("seal",)), "check", "CATALOG without SEAL")
    refused("order-seal-in-region", base(before={"close 1": extra(SEAL, {"regions": 1, "digest": bytes(32)})}), "check",
            "SEAL inside a region")
    refused("order-catalog-missing", base(drop=("catalog",), tweaks={"trailer": put()}), "open", "not the catalog")
    refused("order-catalog-twice", base(before={"catalog": lambda b: void(b.record("extra", CATALOG, {
        "digest": b.records["seal"].fields["digest"], "entries": b.catalog_entries, "pairs": [b.meta[k] for k in sorted(b.meta)]}))}),
        "check", "no valid trailer", "corrupt", ("truncated",))
    refused("order-close-missing", base(drop=("close 0",)), "check", "before the region before is closed")
    refused("order-close-missing-last", base(drop=("close 1",)), "check", "SEAL inside a region")
    refused("order-close-outside", base(before={"region 1": lambda b: void(b.record("extra", CLOSE, dict(b.records["close 0"].fields,
            prior=b.prior)))}), "check", "CLOSE outside of a region")
    refused("order-block-outside", base(before={"region 1": lambda b: void(b.record("extra", BLOCK, {
        "region": 0, "aux": 1, "number": 0, "kinds": [2], "copies": [], "payload": A}))}), "check", "BLOCK outside of a region")
    refused("order-region-missing", base(drop=("region 1",)), "check", "BLOCK outside of a region")
    refused("order-region-number", base({"region 0": put(region=1)}), "check", "region number 1 instead of 0")
    refused("order-region-numbers-swapped", base({"region 0": put(region=1), "region 1": put(region=0)}), "check", "region number")
    refused("order-block-twice", base(before={"block 0 2": lambda b: void(b.record("extra", BLOCK, dict(
        b.records["block 0 1"].fields, prior=b.prior)))}), "check", "not strictly ascending")


def make_regions() -> None:
    def region(name: str, hint: str, /, code: str = "corrupt", also: tuple[str, ...] = (), which: int = 0, **values: Any) -> None:
        refused(f"region-{name}", base({f"region {which}": put(**values)}), "open", hint, code, also)

    either = ("corrupt",)
    for kind in (0, 3, 255):
        region(f"kind-{kind}", f"kind {kind}", also=("unsupported",), kind=kind, placements=[])
    region("guest-page-11", "guest_page_log2 11", guest_page_log2=11)
    region("guest-page-31", "guest_page_log2 31", also=("limit",), guest_page_log2=31)
    region("guest-page-state", "guest_page_log2 13", which=1, guest_page_log2=13)
    region("name-empty", "without a name", name=b"")
    region("name-long", "over the limit", "limit", either, name=b"n" * 1024)
    region("name-bytes-max", "over the limit", "limit", either, name_bytes=65535)
    region("name-bytes-past-end", "too short", name_bytes=1000)
    region("name-zero-byte", "zero byte", name=b"pc\0ram")
    region("name-latin1", "not UTF-8", name=b"pc\xe4am.")
    region("name-overlong", "not UTF-8", name=b"pc\xc0\xafam")
    region("name-surrogate", "not UTF-8", name=b"p\xed\xa0\x80am")
    region("name-past-unicode", "not UTF-8", name=b"p\xf4\x90\x80\x80a")
    region("placements-65", "65 placements", "limit", either, placements=[(i << 20, i, 1) for i in range(65)])
    region("placements-max", "placements are over", "limit", either, placement_count=2**32 - 1)
    region("placements-past-end", "placement", placement_count=64)
    region("placements-state", "state with placements", which=1, placements=[(0, 0, 1)])
    region("placements-overlap", "overlap", placements=[(0, 0, 100), (1000, 99, 100)])
    region("placements-same", "overlap", placements=[(0, 0, 100), (1000, 0, 100)])
    region("placements-order", "overlap", placements=[(0, 100, 100), (1000, 0, 100)])
    region("placement-empty", "length 0", placements=[(0, 0, 0)])
    region("placement-address", "address space", placements=[((1 << 64) - 99, 0, 100)])
    region("placement-past-end", "past the region's end", placements=[(0, 8 * PAGE, 101)])
    region("placement-offset-wraps", "past the region's end", placements=[(0, (1 << 64) - 1, 2)])
    region("placement-length-max", "past the region's end", placements=[(1, 0, (1 << 64) - 1)])
    region("placement-wraps", "address space", placements=[((1 << 64) - 1, 0, (1 << 64) - 1)])
    region("announced-large", "over the limit", "limit", either, announced=(1 << 52) + 1)
    region("announced-63", "over the limit", "limit", either, announced=(1 << 63) - 1)
    region("announced-max", "over the limit", "limit", either, announced=(1 << 64) - 2)
    region("announced-other", "not the one announced", announced=8 * PAGE + 101)
    region("announced-zero", "past the region's end", announced=0)
    unknown: Fields = {"announced": UNKNOWN, "placements": []}
    for name, size in (("large", (1 << 52) + 1), ("63", (1 << 63) - 1), ("max", (1 << 64) - 1)):
        refused(f"region-size-{name}", base({"region 0": put(**unknown), "close 0": put(number=size)}), "open", "over the limit", "limit",
                either)
    refused("region-size-small", base({"region 0": put(**unknown, size=4 * PAGE)}), "check", "more block records than blocks")
    refused("region-size-other", base({"region 0": put(**unknown, size=9 * PAGE + 1)}), "read", "wrong number of pages")
    refused("region-size-placement", base({"region 0": put(announced=UNKNOWN, placements=[(0, 8 * PAGE, 101)])}), "open",
            "past the region's end")
    two = [state("same", b"1"), state("same", b"2")]
    refused("region-name-twice", base(items=list(two)), "open", "earlier region")
    refused("region-tail", base({"region 0": put(tail=b"\0")}), "check", "left over")
    refused("region-body-short", base({"region 0": put(body=b"\x01\x0c\x06\x00")}), "check", "too short")


def ram_build(pages: dict[int, bytes], count: int, tweaks: dict[str, Tweak], **options: Any) -> bytes:
    return Build([ram(pages, count)], tweaks=tweaks, **options).result()


def make_blocks() -> None:
    def block(name: str, hint: str, values: Fields, *, by: str = "read", which: str = "block 0 1", stream: str = "must",
              also: tuple[str, ...] = (), **options: Any) -> None:
        refused(f"block-{name}", base({which: put(**values)}, **options), by, hint, also=also, stream=stream)

    block("pages-0", "wrong number of pages", {"aux": 0, "map": b"", "copies": [], "payload": b"", "codec": 0})
    block("pages-3", "wrong number of pages", {"aux": 3, "kinds": [4, 2, 0], "copies": [copy_of(0, 0)]})
    block("pages-5", "wrong number of pages", {"aux": 5, "kinds": [4, 2, 0, 4, 0]})
    block("pages-max", "wrong number of pages", {"aux": 2**32 - 1})
    block("pages-last", "wrong number of pages", {"aux": 2, "kinds": [2, 0]}, which="block 0 2")
    block("number", "another type or place", {"number": 2}, stream="must")
    block("number-past-end", "another type or place", {"number": 3})
    block("number-max", "another type or place", {"number": 2**64 - 1})
    block("region", "another type or place", {"region": 1})
    block("region-max", "another type or place", {"region": 65535})
    block("type", "another type or place", {"type": META, "codec": 0, "region": 0, "aux": 0, "number": 0, "body": pack_pair(b"k", b"v")})
    for kind in (1, 3, 5, 15):
        block(f"kind-{kind}", f"page kind {kind}", {"kinds": [4, 2, kind, 4]})
    block("unused-half", "unused half", {"map": b"\x22"}, which="block 0 2")
    block("all-zero", "block of zero pages", {"kinds": [0, 0, 0, 0], "copies": [], "payload": b"", "codec": 0})
    block("map-short", "too short", {"map": b"\x24", "copies": [], "payload": b"", "codec": 0})
    block("body-empty", "too short", {"body": b""})
    refused("block-all-zero-raw", ram_build({0: A}, 1, {"block 0 0": put(payload=zstd_frame(ZERO))}), "check", "block of zero pages",
            stream="may")

    own = copy_of(0, 0)
    block("copy-parent", "copy of a page of the parent", {"copies": [own | 1 << 63, copy_of(0, 3)]})
    for bit in (56, 62):
        block(f"copy-reserved-{bit}", "reserved bits", {"copies": [own | 1 << bit, copy_of(0, 3)]})
    block("copy-self", "not before it", {"copies": [copy_of(0, 4), copy_of(0, 3)]})
    block("copy-forwards", "not before it", {"copies": [copy_of(0, 5), copy_of(0, 3)]})
    block("copy-next-block", "not before it", {"copies": [copy_of(0, 8), copy_of(0, 3)]})
    block("copy-next-region", "not before it", {"copies": [copy_of(1, 0), copy_of(0, 3)]})
    block("copy-no-region", "not before it", {"copies": [copy_of(65535, 0), copy_of(0, 3)]})
    block("copy-page-max", "not before it", {"copies": [copy_of(0, (1 << 40) - 1), copy_of(0, 3)]})
    block("copy-of-zero", "not raw", {"copies": [own, copy_of(0, 1)]})
    block("copy-of-copy", "not raw", {"copies": [own, copy_of(0, 2)]})
    block("copy-of-copy-own", "not raw", {"copies": [own, copy_of(0, 4)]})
    block("copy-of-zero-own", "not raw", {"copies": [own, copy_of(0, 6)]})
    block("copy-cut-short", "too short", {"map": b"\x44\x44", "copies": [own, own], "payload": b"", "codec": 0})
    block("copy-past-region", "not raw", {"kinds": [4], "copies": [copy_of(0, 9)], "payload": b"", "codec": 0}, which="block 1 0")
    block("copy-past-region-far", "not raw", {"kinds": [4], "copies": [copy_of(0, (1 << 40) - 1)], "payload": b"", "codec": 0},
          which="block 1 0")
    refused("block-copy-of-zero-block", ram_build({8: A, 9: B}, 12, {"block 0 2": put(kinds=[2, 4, 0, 0], copies=[copy_of(0, 0)],
            payload=zstd_frame(A))}), "read", "not raw")
    two = {0: A, 4: B, 8: C, 9: A}
    refused("block-copy-two-blocks", ram_build({**two, 10: B}, 12, {"block 0 2": put(
        kinds=[2, 4, 4, 0], copies=[copy_of(0, 0), copy_of(0, 4)], payload=zstd_frame(C))}), "read", "more than one other block")
    refused("block-copy-outside-window", ram_build(two, 12, {"header": put(copy_window=1)}), "check", "outside the copy window")
    refused("block-copy-window-0", ram_build({0: A, 4: A}, 8, {"header": put(copy_window=0)}), "check", "outside the copy window")

    # Payloads: block 0 of a region of one or two pages
    def payload(name: str, hint: str, content: bytes, codec: int = ZSTD, pages: bytes = A, also: tuple[str, ...] = (),
                **values: Any) -> None:
        contents = {i: pages[i * PAGE:(i + 1) * PAGE] for i in range(len(pages) // PAGE)}
        data = ram_build(contents, len(contents), {"block 0 0": put(payload=content, codec=codec, **values)}, dedup=False)
        refused(f"payload-{name}", data, "read", hint, also=also)

    for codec in (3, 255):
        payload(f"codec-{codec}", f"codec {codec}", b"x" * 20, codec, also=("unsupported",))
    payload("store-short", "instead of 4096", A[:-1], STORE)
    payload("store-empty", "instead of 4096", b"", STORE)
    payload("store-long", "instead of 4096", A + b"\0", STORE)
    block("payload-without-pages", "instead of 0", {"kinds": [4, 0, 0, 0], "copies": [own], "payload": b"x", "codec": 0})
    block("codec-without-pages-lz4", "codec without", {"kinds": [4, 0, 0, 0], "copies": [own], "payload": b"", "codec": LZ4})
    block("codec-without-pages-zstd", "codec without", {"kinds": [4, 0, 0, 0], "copies": [own], "payload": b"", "codec": ZSTD})
    magic = b"\x28\xb5\x2f\xfd"
    raw_frame = magic + b"\xa0" + struct.pack("<I", PAGE) + (PAGE << 3 | 1).to_bytes(3, "little") + A
    payload("zstd-longer", "not shorter", raw_frame)
    # Exactly as long as what it holds: a raw block and a repeated byte that fill 4096 bytes.
    lead = PAGE - 9 - 3 - 4
    exact = magic + b"\xa0" + struct.pack("<I", PAGE) + (lead << 3).to_bytes(3, "little") + A[:lead]
    exact += ((PAGE - lead) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"A"
    assert len(exact) == PAGE
    payload("zstd-as-long", "not shorter", exact)
    rle = zstd_frame(A)
    payload("zstd-empty", "not a zstd frame", b"")
    payload("zstd-magic", "not a zstd frame", b"\x27" + rle[1:])
    payload("zstd-old-magic", "not a zstd frame", b"\x1e\xb5\x2f\xfd" + rle[4:])
    payload("zstd-skippable", "not a zstd frame", b"\x50\x2a\x4d\x18\0\0\0\0" + rle)
    payload("zstd-only-skippable", "not a zstd frame", b"\x50\x2a\x4d\x18\x04\0\0\0abcd")
    payload("zstd-tail", "after the zstd frame", rle + b"\0")
    payload("zstd-tail-skippable", "after the zstd frame", rle + b"\x50\x2a\x4d\x18\x04\0\0\0abcd")
    payload("zstd-tail-empty-frame", "after the zstd frame", rle + magic + b"\x20\0\x01\0\0")
    payload("zstd-two-frames", "content size", rle + zstd_frame(B), pages=A + B)
    payload("zstd-cut", "cut short", rle[:-1])
    payload("zstd-cut-header", "content size", rle[:7])
    checksum = struct.pack("<I", xxhash.xxh64_intdigest(A) & 0xFFFFFFFF)
    payload("zstd-checksum", "with a checksum", zstd_frame(A, descriptor=0xA4) + checksum)
    payload("zstd-dictionary", "dictionary id", zstd_frame(A, descriptor=0xA1, middle=b"\x07"))
    payload("zstd-dictionary-zero", "dictionary id", zstd_frame(A, descriptor=0xA1, middle=b"\0"))
    payload("zstd-reserved-bit", "reserved bit", zstd_frame(A, descriptor=0xA8))
    payload("zstd-no-size", "without content size", magic + b"\0\x10" + rle[9:])
    payload("zstd-size-small", "content size", zstd_frame(A), pages=A + B)
    payload("zstd-size-large", "content size", zstd_frame(A + B))
    payload("zstd-size-max", "content size", magic + b"\xe0" + b"\xff" * 8 + rle[9:])
    payload("zstd-size-lies-short", "", zstd_frame(A, content=2 * PAGE), pages=A + B)
    payload("zstd-size-lies-long", "", zstd_frame(A + B, content=PAGE))
    payload("zstd-block-type", "reserved type", rle[:9] + (PAGE << 3 | 3 << 1 | 1).to_bytes(3, "little") + b"A")
    payload("zstd-garbage", "", rle[:9] + (40 << 3 | 2 << 1 | 1).to_bytes(3, "little") + noise(1, 40))
    hand = lz4_repeat(b"A", PAGE)
    payload("lz4-longer", "not shorter", b"\xf0" + b"\xff" * 16 + bytes([4096 - 15 - 16 * 255]) + A + b"", LZ4)
    payload("lz4-empty", "", b"", LZ4)
    payload("lz4-short", "", lz4_repeat(b"A", PAGE - 1), LZ4)
    payload("lz4-long", "", lz4_repeat(b"A", PAGE + 1), LZ4)
    payload("lz4-two-pages", "", lz4_repeat(b"A", 2 * PAGE), LZ4)
    payload("lz4-cut", "", hand[:-1], LZ4)
    payload("lz4-tail", "", hand + b"\0", LZ4)
    payload("lz4-offset-before", "", b"\x1f" + b"A" + b"\x02\x00" + hand[4:], LZ4)
    payload("lz4-garbage", "", noise(2, 100), LZ4)

    # Short last pages
    dirty = fill(b"short")[:-1] + b"!"
    short = Region(MEMORY, "pc.ram", {0: fill(b"short")}, 5)
    refused("block-filling", Build([short], tweaks={"block 0 0": put(payload=dirty, codec=STORE)}).result(),
            "read", "not filled up")
    refused("block-filling-first-byte", Build([short], tweaks={"block 0 0": put(payload=zstd_frame(fill(b"short!")))}).result(), "read",
            "not filled up")
    copied = Region(MEMORY, "pc.ram", {0: dirty, 4: fill(b"short")}, 4 * PAGE + 5)
    refused("block-filling-copied", Build([copied], tweaks={"block 0 1": put(kinds=[4], copies=[own], payload=b"", codec=0)}).result(),
            "read", "not filled up")
    source: list[Item] = [Region(MEMORY, "pc.ram", {0: fill(b"short")}, 5), Region(MEMORY, "other", {0: dirty}, PAGE)]
    refused("block-filling-copy-source", Build(source, tweaks={
        "block 0 0": put(payload=dirty, codec=STORE),
        "block 1 0": put(kinds=[4], copies=[own], payload=b"", codec=0)}).result(), "read", "not filled up")


def make_nodes() -> None:
    def node(name: str, hint: str, values: Fields | Tweak, *, by: str = "read", which: str = "node 0 0 0", stream: str = "may",
             **options: Any) -> None:
        refused(f"node-{name}", base({which: put(**values) if isinstance(values, dict) else values}, **options), by, hint, stream=stream)

    def entry(index: int, **values: Any) -> Tweak:
        def change(f: Fields, build: Build) -> None:
            names = ("offset", "bytes", "check", "digest")
            old = dict(zip(names, f["entries"][index]))
            new = {k: (v(build) if callable(v) else v) for k, v in values.items()}
            f["entries"][index] = tuple((old | new)[n] for n in names)
        return change

    def at(name: str) -> Fields:
        return {"offset": lambda b: b.records[name].offset, "bytes": lambda b: b.records[name].bytes,
                "check": lambda b: b.records[name].head_check}

    node("empty", "points to nothing", {"entries": {}})
    node("bit-without-entry", "too short", {"present": 15})
    node("entry-without-bit", "left over", {"present": 3})
    node("tail", "left over", {"tail": b"\0"})
    node("body-short", "too short", {"body": b"\x01"})
    node("past-end", "past the region's end", lambda f, b: f["entries"].update({3: f["entries"][2]}), by="check")
    node("past-end-255", "past the region's end", lambda f, b: f["entries"].update({255: f["entries"][2]}), by="check")
    node("entry-missing", "present bits", lambda f, b: void(f["entries"].pop(1)), by="check")
    node("entry-moved", "another type or place", lambda f, b: f.update(entries={0: f["entries"][0], 1: f["entries"][2], 2: f["entries"][1]}))
    node("offset-self", "forwards or to itself", entry(1, offset=lambda b: len(b.out)))
    node("offset-forwards", "forwards or to itself", entry(1, offset=lambda b: len(b.out) + 100))
    node("offset-max", "forwards or to itself", entry(1, offset=2**64 - 1))
    node("offset-header", "no record can be", entry(1, offset=0))
    node("offset-other", "wrong magic", entry(1, offset=lambda b: b.records["block 0 1"].offset + 1))
    node("bytes-small", "not the record", entry(1, bytes=lambda b: b.records["block 0 1"].bytes - 1))
    node("bytes-zero", "not the record", entry(1, bytes=0))
    node("bytes-max", "no record can be", entry(1, bytes=2**32 - 1))
    node("check", "not the record", entry(1, check=0))
    node("digest", "digest in a node", entry(1, digest=bytes(32)), by="check")
    node("other-region", "another type or place", entry(0, **at("block 0 0")), which="node 1 0 0")
    node("to-region-record", "another type or place", entry(0, **at("region 0")))
    node("to-node", "another type or place", entry(0, **at("node 0 0 0")), which="node 1 0 0")
    node("level", "wrong level", {"aux": 1})
    node("level-max", "wrong level", {"aux": 2**32 - 1})
    node("number", "another type or place", {"number": 1})
    node("number-max", "another type or place", {"number": 2**64 - 1})
    node("region", "another type or place", {"region": 1})
    node("is-block", "another type or place", {"type": BLOCK})

    # A node before the blocks it points to: only a reader that seeks can be led there, since `prior` cannot fit.
    def early(b: Build) -> None:
        pages = [A, ZERO, ZERO, ZERO]
        fields = b.block_fields(0, 0, pages)
        trial = Build([])
        trial.out = bytearray(len(b.out) + 48 + 32 + 52)
        block = trial.record("x", BLOCK, {**fields, "prior": 0})
        placed = b.record("node early", NODE, {"region": 0, "number": 0, "entries": {0: (
            block.offset, block.bytes, block.head_check, Tree({0: A}).at(2, 0))}})
        b.raw_at.clear()
        b.tweaks["block 0 0"] = put(prior=0)
        b.tweaks["close 0"] = put(root_offset=placed.offset, root_bytes=placed.bytes, root_check=placed.head_check)
    refused("node-before-block", ram_build({0: A}, 4, {}, before={"block 0 0": early}, drop=("node 0 0 0",)), "read",
            "forwards or to itself")

    wide = {0: A, 256 * 4: B}
    blocks = 257 * 4
    refused("node-missing", ram_build(wide, blocks, {"node 0 1 0": lambda f, b: void(f["entries"].pop(0))}, drop=("node 0 0 0",)), "check",
            "node is missing", stream="may")
    refused("node-missing-last", ram_build(wide, blocks, {"node 0 1 0": lambda f, b: void(f["entries"].pop(1))}, drop=("node 0 0 1",)),
            "check", "node is missing", stream="may")
    refused("node-missing-root", ram_build({0: A}, 1, {"close 0": put(root_offset=0, root_bytes=0, root_check=0)}, drop=("node 0 0 0",)),
            "open", "without a root", stream="may")
    refused("node-missing-root-and-count", ram_build({0: A}, 1, {"close 0": put(
        root_offset=0, root_bytes=0, root_check=0, block_records=0)}, drop=("node 0 0 0",)), "check", "block_records is 0",
        stream="may")

    def root_of(name: str) -> Tweak:
        return lambda f, b: f.update(root_offset=b.records[name].offset, root_bytes=b.records[name].bytes,
                                     root_check=b.records[name].head_check)

    def above(b: Build) -> None:
        low = b.records["node 0 0 0"]
        b.record("high", NODE, {"region": 0, "aux": 1, "number": 0, "entries": {
            0: (low.offset, low.bytes, low.head_check, Tree({0: A}).at(10, 0))}})
    refused("node-root-too-high", ram_build({0: A}, 1, {"close 0": root_of("high")}, before={"close 0": above}), "read", "wrong level",
            stream="may")
    refused("node-root-too-high-unknown-size", Build([ram({0: A}, 1, announced=False)], tweaks={"close 0": root_of("high")},
            before={"close 0": above}).result(), "read", "wrong level", stream="may")
    refused("node-root-too-low", ram_build({0: A}, blocks, {"close 0": root_of("node 0 0 0")}, drop=("node 0 1 0",)), "read",
            "wrong level", stream="may")
    refused("node-above-root", ram_build({0: A}, 1, {}, before={"close 0": above}), "check", "above the root", stream="may")
    refused("node-twice", ram_build({0: A}, 1, {}, before={"close 0": lambda b: void(b.record("again", NODE, dict(
        b.records["node 0 0 0"].fields, prior=b.prior)))}), "check", "node", stream="may")
    refused("node-too-early", ram_build({0: A, 4: B}, 8, {}, before={"block 0 1": lambda b: void(b.record("early", NODE, {
        "region": 0, "number": 0, "entries": {0: (b.records["block 0 0"].offset, b.records["block 0 0"].bytes,
                                                  b.records["block 0 0"].head_check, Tree({0: A}).at(2, 0))}}))}), "check",
        "block after its node", stream="may")

    # The first node only after the first block of the second: everything fits but the order.
    class Late(Build):
        def record(self, name: str, type_: int, fields: Fields) -> Placed:
            if name == "node 0 0 0":
                # What it will be is known: it stands after the block, whose length does not depend on it.
                block = Build.record(self, "block 0 256", BLOCK, self.block_fields(0, 256, [B]))
                node = Build.record(self, name, type_, fields)
                self.late = block
                return node
            if name == "block 0 256":
                return self.late
            return Build.record(self, name, type_, fields)
    refused("node-too-late", Late([Region(MEMORY, "pc.ram", wide, 256 * 4 * PAGE + PAGE)]).result(), "check", "node is missing",
            stream="may")
    loop = {"node 0 1 0": entry(0, offset=lambda b: len(b.out))}
    refused("node-cycle", ram_build(wide, blocks, loop), "read", "forwards or to itself", stream="may")
    refused("node-level-skipped", ram_build({0: A}, blocks, {"node 0 1 0": entry(0, **at("block 0 0"))}), "read",
            "another type or place", stream="may")
    refused("node-child-of-level-0", ram_build(wide, blocks, {"node 0 0 1": entry(0, **at("node 0 0 0"))}), "read",
            "another type or place", stream="may")
    refused("node-same-child-twice", ram_build(wide, blocks, {"node 0 1 0": lambda f, b: f["entries"].update({1: f["entries"][0]})}),
            "read", "another type or place", stream="may")


def make_close() -> None:
    def close(name: str, hint: str, by: str, values: Fields, *, which: int = 0, stream: str = "may", code: str = "corrupt",
              also: tuple[str, ...] = ()) -> None:
        refused(f"close-{name}", base({f"close {which}": put(**values)}), by, hint, code, also, stream)

    first = place("node 0 0 0")
    close("root-offset", "no record can be", "read", {"root_offset": 1})
    close("root-offset-max", "no record can be", "read", {"root_offset": 2**64 - 1})
    close("root-offset-zero", "without a root", "read", {"root_offset": 0})
    close("root-offset-catalog", "no record can be", "read", {"root_offset": place("catalog").offset})
    close("root-bytes", "not the record", "read", {"root_bytes": first.bytes - 1})
    close("root-bytes-zero", "without a root", "read", {"root_bytes": 0})
    close("root-check", "not the record", "read", {"root_check": 1})
    close("root-other-region", "another type or place", "read", {
        "root_offset": first.offset, "root_bytes": first.bytes, "root_check": first.head_check}, which=1)
    close("block-records", "block_records is 2", "check", {"block_records": 2})
    close("block-records-zero", "root without block records", "open", {"block_records": 0})
    close("block-records-max", "more block records than blocks", "check", {"block_records": 2**64 - 1})
    close("digest", "region's digest", "check", {"digest": bytes(32)})
    close("tail", "not 60 bytes", "check", {"tail": b"\0"}, stream="must")
    close("body-short", "not 60 bytes", "check", {"body": bytes(59)}, stream="must")
    close("size", "not the one announced", "open", {"number": 8 * PAGE + 101}, stream="must")
    close("region", "region number", "check", {"region": 1}, stream="must")
    zero: list[Item] = [ram({}, 4)]
    for name, values in (("offset", {"root_offset": 64}), ("bytes", {"root_bytes": 132}), ("check", {"root_check": 1})):
        refused(f"close-zero-root-{name}", base({"close 0": put(**values)}, items=zero), "open", "root without block records", stream="may")
    refused("close-zero-block-records", base({"close 0": put(block_records=1)}, items=zero), "open", "without a root", stream="may")
    refused("close-zero-digest", base({"close 0": put(digest=bytes(32))}, items=zero), "check", "region's digest", stream="may")


def make_meta_seal_catalog() -> None:
    limit_also = ("corrupt",)

    def meta(name: str, hint: str, pairs: list[tuple[Any, ...]], code: str = "corrupt", also: tuple[str, ...] = (), by: str = "open") -> None:
        refused(f"meta-{name}", base({"meta 0": put(pairs=pairs)}), by, hint, code, also)

    meta("key-empty", "empty key", [(b"", b"v")])
    meta("key-long", "over the limit", [(b"k" * 256, b"v")], "limit", limit_also)
    meta("key-bytes-max", "over the limit", [(b"k", b"v", 65535)], "limit", limit_also)
    meta("key-upper", "not legal", [(b"Key", b"v")])
    meta("key-space", "not legal", [(b"a key", b"v")])
    meta("key-newline", "not legal", [(b"key\n", b"v")])
    meta("key-utf8", "not legal", [("schl\u00fcssel".encode(), b"v")])
    meta("value-zero-byte", "zero byte", [(b"k", b"a\0b")])
    meta("value-latin1", "not UTF-8", [(b"k", b"\xe4")])
    meta("value-bytes-limit", "over the limit", [(b"k", b"v", None, (1 << 20) + 1)], "limit", limit_also)
    meta("value-bytes-max", "over the limit", [(b"k", b"v", None, 2**32 - 1)], "limit", limit_also)
    meta("value-bytes-past-end", "cut short", [(b"k", b"v", None, 2)])
    order = [(b"b", b"1"), (b"a", b"2")]
    refused("meta-keys-order", base({"meta 0": put(pairs=order)}), "check", "not strictly ascending")
    refused("meta-keys-twice", base({"meta 0": put(pairs=[(b"a", b"1"), (b"a", b"2")])}), "check", "not strictly ascending")
    refused("meta-empty", base({"meta 0": put(pairs=[])}), "check", "META without a pair")
    refused("meta-tail", base({"meta 0": put(tail=b"\0")}), "check", "too short")

    def seal(name: str, hint: str, code: str = "corrupt", also: tuple[str, ...] = (), stream: str = "must", **values: Any) -> None:
        refused(f"seal-{name}", base({"seal": put(**values)}), "check", hint, code, also, stream)

    seal("regions", "counts 3 regions", regions=3)
    seal("regions-less", "counts 1 regions", regions=1)
    seal("regions-max", "over the limit", "limit", limit_also, regions=2**32 - 1)
    seal("digest", "snapshot's digest", stream="may", digest=bytes(32))
    seal("tail", "not 36 bytes", tail=b"\0")
    seal("body-short", "not 36 bytes", body=bytes(35))

    def catalog(name: str, hint: str, values: Fields | Tweak, by: str = "open", code: str = "corrupt", also: tuple[str, ...] = ()) -> None:
        refused(f"catalog-{name}", base({"catalog": put(**values) if isinstance(values, dict) else values}), by, hint, code, also, "may")

    catalog("regions-more", "", {"regions": 3})
    catalog("regions-less", "meta_bytes", {"regions": 1})
    catalog("regions-limit", "over the limit", {"regions": 4097}, code="limit", also=limit_also)
    catalog("regions-max", "over the limit", {"regions": 2**32 - 1}, code="limit", also=limit_also)
    catalog("meta-bytes-more", "meta_bytes", lambda f, b: f.update(meta_bytes=sum(len(pack_pair(*p)) for p in f["pairs"]) + 1))
    catalog("meta-bytes-less", "meta_bytes", {"meta_bytes": 0})
    catalog("meta-bytes-limit", "over the limit", {"meta_bytes": (4 << 20) + 1}, code="limit", also=limit_also)
    catalog("meta-bytes-max", "over the limit", {"meta_bytes": 2**32 - 1}, code="limit", also=limit_also)
    catalog("tail", "meta_bytes", {"tail": b"\0"})
    catalog("body-short", "too short", {"body": bytes(39)})
    catalog("meta-order", "not strictly ascending", {"pairs": [(b"b", b"1"), (b"a", b"2")]})
    catalog("meta-twice", "not strictly ascending", {"pairs": [(b"a", b"1"), (b"a", b"1")]})
    catalog("digest", "does not fit the records", {"digest": bytes(32)}, "check")
    catalog("meta-other", "does not fit the records", {"pairs": [(b"vm.name", b"else")]}, "check")
    catalog("meta-missing", "does not fit the records", {"pairs": []}, "check")

    def change(index: int, part: int, old: bytes, new: bytes) -> Tweak:
        def apply(f: Fields, build: Build) -> None:
            parts = list(f["entries"][index])
            parts[part] = parts[part].replace(old, new)
            f["entries"][index] = tuple(parts)
        return apply

    catalog("name-other", "does not fit the records", change(0, 0, b"pc.ram", b"pc.rom"), "check")
    catalog("name-twice", "earlier region", lambda f, b: f.update(entries=[f["entries"][0], f["entries"][0]]))
    catalog("placement-other", "does not fit the records", change(0, 0, struct.pack("<Q", 1 << 32), struct.pack("<Q", 1 << 33)), "check")
    catalog("region-missing", "does not fit the records", lambda f, b: f.update(entries=f["entries"][:1]), "check")
    catalog("regions-swapped", "another type or place", lambda f, b: f.update(entries=f["entries"][::-1]), "read")

    def sized(size: int) -> Tweak:
        def apply(f: Fields, build: Build) -> None:
            f["entries"][0] = (f["entries"][0][0], size, f["entries"][0][2])
        return apply
    catalog("size-other", "not the one announced", sized(8 * PAGE + 99))
    catalog("size-max", "over the limit", sized(2**64 - 1), code="limit", also=limit_also)
    superseded: list[Item] = [Meta({"a": "old"}), Meta({"a": "new"})]
    refused("catalog-meta-old", base({"catalog": put(pairs=[(b"a", b"old")])}, items=superseded), "check", "does not fit the records",
            stream="may")


# ---------------------------------------------------------------------------------------------------------------------
# Children: SPEC 12

def parent_regions() -> list[Region]:
    """Four blocks, of which one is zero, and a short last page; a memory that children may lack; a state of two blocks."""
    return [
        ram({0: A, 1: prose(31), 3: B, 4: prose(32), 5: C, 6: A, 7: D, 12: prose(33), 14: fill(prose(34, 100))}, 15, size=14 * PAGE + 100),
        Region(MEMORY, "gone", {0: prose(35), 2: E}, 3 * PAGE),
        state("device", prose(36, 4 * PAGE + 500)),
    ]


def changed(changes: dict[int, bytes], of: Build, size: int | None = None, **options: Any) -> list[Item]:
    """The regions of a file with other pages in the first."""
    first, *rest = of.regions
    pages = {n: p for n, p in {**first.pages, **changes}.items() if p != ZERO}
    return [Region(first.kind, first.name, pages, first.size if size is None else size, **options), *rest]


F, G = page("F"), page("G")
NEW = patch(prose(31), 500, b"changed")
FORMS = {1: NEW, 2: F, 3: ZERO, 4: prose(35), 5: F, 7: G, 12: patch(prose(33), 2000, b"0123456789")}


def forms_items(of: Build) -> list[Item]:
    """Pages of every form: A as in the parent, XOR, raw, zero | copy of the parent, own copy, same, raw | nothing | codec 3; a region
    that is gone."""
    items = changed(FORMS, of)
    return [items[0], items[2]]


def golden_parent() -> Build:
    build = Build(golden_items(), codec="store", copy_window=16).build()
    build.file = "golden-example.vmsnap"
    return build


def golden_child_items() -> list[Item]:
    return [ram({0: B, 2: A, 3: patch(B, 0, b"b"), 4: C}, 5, placements=[(0, 0, 5 * PAGE)]), state("dev", b"on\n")]


def golden_zstd_items() -> list[Item]:
    return [ram({1: A, 2: A, 3: B, 4: patch(B, 0, b"new!")}, 5, placements=[(0, 0, 5 * PAGE)]), state("dev", b"on\n")]


GOLDEN_ZSTD: dict[str, Any] = {"codec": "over", "named": {(0, 1): [3]}, "tweaks": {"block 0 1": from_dictionary(0)}}


def make_children() -> None:
    good("golden-child", "the example of SPEC 17", golden_child_items(), parent=golden_parent(), codec="store", copy_window=16)
    good("golden-child-zstd", "the example of codec 3 in SPEC 17", golden_zstd_items(), parent=golden_parent(), copy_window=16,
         **GOLDEN_ZSTD)
    base_ = good("parent-base", "a parent of the files child-…", list(parent_regions()))
    of: dict[str, Any] = {"parent": base_}

    def child(name: str, note: str, items: list[Item], **options: Any) -> Build:
        return good(f"child-{name}", note, items, **{**of, **options})

    forms = child("all-forms", "same, zero, raw, XOR, copies from both, codec 3, a block without a record; a region has vanished",
                  forms_items(base_), codecs={(0, 3): "over"})
    unchanged = child("unchanged", "no BLOCK record at all: its digest is the parent's", list(parent_regions()))
    child("raw", "one page raw, the others of its block the same", changed({2: F}, base_))
    child("zero", "one page zero where the parent's is not", changed({1: ZERO}, base_))
    child("zero-block", "a record whose map is all zero: the block is zero where the parent's is not",
          changed({4: ZERO, 5: ZERO, 6: ZERO, 7: ZERO}, base_))
    child("zero-block-mixed", "a block that became zero, of which one page was zero before",
          changed({0: ZERO, 1: ZERO, 3: ZERO, 14: ZERO}, base_))
    for codec in ("store", "tiny", "lz4", "zstd"):
        child(f"xor-{codec}", "XOR pages beside a raw one", changed({1: NEW, 2: noise(40), 4: patch(prose(32), 4000, b"end")}, base_),
              codec=codec)
    child("xor-short-last-page", "XOR of a short last page", changed({14: fill(patch(prose(34, 100), 90, b"xy"))}, base_),
          choose={(0, 14): "xor"})
    child("codec-3", "codec 3, zstd frames made by hand", changed({1: NEW, 3: patch(B, 0, b"new!"), 12: FORMS[12]}, base_),
          codec="over")
    child("codec-3-compressor", "codec 3 as a compressor gives it",
          changed({1: patch(NEW, 3000, b"more"), 2: prose(32)[:2048] + prose(31)[2048:], 4: prose(40), 12: FORMS[12]}, base_),
          codec="over-zstd19")
    child("codec-3-other-page", "codec 3 whose frame takes its bytes from another page of the dictionary, and a copy of such a page", [
        *changed({2: patch(prose(31), 0, b"moved"), 6: patch(prose(31), 0, b"moved")}, base_)],
        codecs={(0, 0): "over"}, tweaks={"block 0 0": from_dictionary(1)})
    child("codec-3-short-last-page", "codec 3 where the dictionary's last page is short", changed(
        {14: fill(patch(prose(34, 100), 10, b"---"))}, base_), codec="over")
    child("codec-3-shrunk", "codec 3 where the region ends within a page: what the parent has past that end is zero in the dictionary",
          [Region(MEMORY, "pc.ram", {0: A, 1: prose(31), 3: B, 4: fill(patch(prose(32), 0, b"new")[:1000])}, 4 * PAGE + 1000),
           *base_.regions[1:]], codec="over")
    child("codec-3-grown", "codec 3 where the dictionary reaches past the end of the parent's region",
          changed({14: patch(fill(prose(34, 100)), 50, F[50:]), 15: F}, base_, size=16 * PAGE), codec="over")
    child("codec-3-zero-dictionary", "codec 3 over a parent that has nothing there", [
        *base_.regions, Region(MEMORY, "new", {0: prose(41)[:100] + bytes(PAGE - 100)}, PAGE)], codec="over")
    tricky = good("parent-dictionary-magic", "a page that begins like a zstd dictionary", [
        ram({0: b"\x37\xa4\x30\xec" + prose(42, PAGE - 4), 3: b"\x37\xa4\x30\xec" + noise(43, PAGE - 4)}, 4)])
    for codec in ("over", "over-zstd"):
        child(f"codec-3-dictionary-magic{codec[4:]}", "the dictionary is raw content, also where it begins like another",
              changed({0: patch(tricky.regions[0].pages[0], 200, b"new")}, tricky), parent=tricky, codec=codec)
    window = b"\x28\xb5\x2f\xfd\x40\x00" + struct.pack("<H", PAGE - 256)
    for i in range(4):
        part = zstd_match(b"", 3 * PAGE, 1024)
        window += (len(part) << 3 | 2 << 1 | (i == 3)).to_bytes(3, "little") + part
    child("codec-3-window", "a frame with a window of 1 KiB that reaches the whole dictionary to its end", changed({2: prose(31)}, base_),
          choose={(0, 2): "raw"}, codec="over", tweaks={"block 0 0": put(payload=window)})

    child("parent-copies", "copies of pages of the parent: of other blocks, another region, one that vanished, a zero page, a state",
          [Region(MEMORY, "pc.ram", {**base_.regions[0].pages, 0: prose(35), 1: E, 2: prose(32), 3: ZERO, 8: prose(33), 9: D, 10: fill(prose(34, 100)),
                                     11: prose(36, PAGE)}, 14 * PAGE + 100), base_.regions[2]],
          choose={(0, 3): ("copy", IN_PARENT | copy_of(0, 2))})
    child("parent-copy-past-end", "a copy of a page of the parent that lies past the child's end", [
        Region(MEMORY, "pc.ram", {0: A, 1: prose(31), 2: prose(33), 3: B}, 4 * PAGE), *base_.regions[1:]])
    child("parent-copy-short-page", "a short last page that is a copy, and copies of the parent's short last page", [
        Region(MEMORY, "pc.ram", {**base_.regions[0].pages, 13: fill(prose(34, 100)), 14: fill(prose(34, 100))}, 14 * PAGE + 100),
        Region(MEMORY, "gone", {2: fill(prose(34, 100))}, 2 * PAGE + 100), base_.regions[2]])
    child("own-copies", "copies within the file, from the block, another and one of codec 3",
          changed({1: NEW, 2: F, 3: F, 4: F, 8: NEW, 9: NEW, 13: NEW}, base_), codecs={(0, 0): "over"})
    child("own-copy-window", "copies from exactly copy_window BLOCK records before, of which one is all zero",
          changed({2: F, 4: ZERO, 5: ZERO, 6: ZERO, 7: ZERO, 8: F, 11: G, 13: F}, base_), copy_window=2)
    child("not-checked", "pages that equal the parent's and say otherwise: not for a reader to check", changed({2: F}, base_), choose={
        (0, 0): "raw", (0, 1): ("copy", IN_PARENT | copy_of(0, 1)), (0, 8): "zero", (0, 9): "zero", (0, 10): "zero", (0, 11): "zero",
        (0, 4): "raw", (0, 5): "raw", (0, 6): "raw", (0, 7): "raw"})

    # Regions
    whole = {**base_.regions[0].pages, 14: patch(fill(prose(34, 100)), 100, b"grown"), 15: G, 20: F}
    child("grown", "a region that has grown, from within a page", [Region(MEMORY, "pc.ram", whole, 21 * PAGE + 7), *base_.regions[1:]])
    child("grown-zero", "a region that has grown by zeros: no BLOCK record", changed({}, base_, size=300 * PAGE))
    child("shrunk", "a region that has shrunk into a page, which is the same as far as it goes",
          [Region(MEMORY, "pc.ram", {**{n: base_.regions[0].pages[n] for n in (0, 1, 3)}, 4: fill(prose(32)[:1000])}, 4 * PAGE + 1000),
           *base_.regions[1:]])
    child("shrunk-xor", "a region that has shrunk into a page, which is XOR",
          [Region(MEMORY, "pc.ram", {**{n: base_.regions[0].pages[n] for n in (0, 1, 3)}, 4: fill(patch(prose(32)[:1000], 990, b"0123"))},
                  4 * PAGE + 1000), *base_.regions[1:]], choose={(0, 4): "xor"})
    child("shrunk-to-nothing", "regions of size 0", [ram({}, 0), Region(MEMORY, "gone", {}, 0), state("device", b"")])
    child("new-region", "regions the parent lacks: of zeros, of content; a state with the name of a memory", [
        *base_.regions, Region(MEMORY, "new", {0: A, 1: F, 2: F, 9: prose(31)}, 11 * PAGE), Region(MEMORY, "zeros", {}, 1 << 40),
        state("pc.ram", patch(A, 0, b"no counterpart"))])
    child("no-regions", "all regions have vanished", [])
    child("regions-exchanged", "the parent's regions in another order", [
        base_.regions[2], *changed({2: F, 10: prose(36, PAGE)}, base_)[:2][::-1]])
    empty = good("parent-empty", "a parent without regions", [])
    child("of-empty", "a child of a file without regions", [ram({0: A, 1: A, 2: F}, 3)], parent=empty)
    child("unknown-size", "sizes not announced: the same, changed, shrunk into a page, grown, new, zero", [
        Region(MEMORY, "pc.ram", {**base_.regions[0].pages, 12: NEW}, 14 * PAGE + 100, announced=False),
        Region(MEMORY, "gone", {0: fill(patch(prose(35)[:600], 0, b"!"))}, 600, announced=False),
        Region(STATE, "device", dict(state("device", prose(36, 4 * PAGE + 500)[:PAGE + 5]).pages), PAGE + 5, announced=False),
        Region(MEMORY, "pc.bios", {}, 0, announced=False),
        Region(MEMORY, "new", {5: fill(b"tail")}, 5 * PAGE + 4, announced=False), Region(MEMORY, "zero", {}, 9 * PAGE + 1, announced=False)],
        choose={(1, 0): "xor"})
    past = zstd_match(b"", PAGE - 2000, 1000)
    child("codec-3-unknown-size", "size not announced: the dictionary has what the parent has past the region's end", [
        Region(MEMORY, "pc.ram", {0: A, 1: NEW, 3: B, 4: fill(prose(32)[2000:3000])}, 4 * PAGE + 1000, announced=False)],
        codec="over", tweaks={"block 0 1": put(payload=b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", PAGE - 256)
                                               + (len(past) << 3 | 2 << 1).to_bytes(3, "little") + past
                                               + ((PAGE - 1000) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0")})
    child("unknown-size-grown", "sizes not announced: grown with changes, grown without", [
        Region(MEMORY, "pc.ram", {**whole, 13: F}, 21 * PAGE + 7, announced=False),
        Region(MEMORY, "gone", base_.regions[1].pages, 400 * PAGE + 3, announced=False),
        Region(STATE, "device", {**base_.regions[2].pages, 4: fill(patch(prose(36, 4 * PAGE + 500)[-500:], 300, b"xor"))},
               4 * PAGE + 500, announced=False)], choose={(2, 4): "xor"})
    child("placements", "placements and guest page sizes are the child's own", changed(
        {}, base_, placements=[(0, 0, 4 * PAGE)], guest_page_log2=21))
    child("metadata", "metadata is the child's own; ancillary records follow PARENT directly", [
        Ancillary(130, b"x"), Meta({"vm.name": "child"}), *base_.regions, Meta({"b": "later"})])
    child("hint-longest", "a hint of 255 bytes that are not UTF-8", list(base_.regions), hint=b"\xff\\ \n" * 63 + b"...")
    child("hint-empty", "no hint", list(base_.regions), hint=b"")
    child("features", "other features beside it", list(base_.regions), features=[(1, 0, "later-thing"), (2, 9, "x")])

    # Index
    blocks = 4
    wide = good("parent-wide", "300 blocks: a parent", [
        ram({0: A, 5: prose(50), 255 * blocks: B, 256 * blocks: C, 299 * blocks + 3: D}, 300 * blocks)])
    child("two-levels", "one changed block: the root lacks its first child, whose blocks the parent has", changed(
        {256 * blocks: F}, wide), parent=wide)
    child("two-levels-first", "one changed block: the root lacks its second child", changed({5: patch(prose(50), 9, b"!")}, wide), parent=wide)
    child("two-levels-zero", "a region of which all pages have become zero", [ram({}, 300 * blocks)], parent=wide)
    child("two-levels-shrunk", "fewer than 257 blocks now: a root of another level", [
        ram({0: A, 5: prose(50), 100: F, 255 * blocks: B}, 256 * blocks)], parent=wide)
    child("two-levels-grown", "one level in the parent, two in the child", [
        ram({**base_.regions[0].pages, 257 * blocks: A}, 258 * blocks), *base_.regions[1:]])
    largest = good("parent-largest-region", "2^52 bytes: a parent", [
        ram({0: A, 1 << 39: B, (1 << 40) - 1: C}, 1 << 40)])
    child("largest-region", "2^52 bytes, of which two pages changed", changed({1: F, 1 << 39: patch(B, 5, b"b")}, largest), parent=largest)
    for log2 in (16, 22):
        child(f"block-{log2}", "blocks larger than the parent's", changed({1: NEW, 2: F, 13: A}, base_), block_log2=log2)
    wide64 = good("parent-block-64k", "the content of parent-base in blocks of 64 KiB", list(parent_regions()), block_log2=16)
    child("block-smaller", "blocks smaller than the parent's; codec 3 over a part of one of the parent's",
          changed({1: NEW, 2: F, 13: A, 14: ZERO}, base_), parent=wide64, codecs={(0, 0): "over"})

    # Chains
    two = good("child-depth-2", "the child of a child: every form over every form", [
        *changed({0: F, 1: patch(NEW, 600, b"again"), 2: patch(F, 8, b"f"), 3: B, 4: patch(prose(35), 7, b"x"), 5: prose(31), 8: G,
                  12: patch(FORMS[12], 3000, b"abc")}, forms), Region(MEMORY, "gone", {0: prose(35), 1: A}, 3 * PAGE)],
        parent=forms, codecs={(0, 3): "over"})
    three = good("child-depth-3", "three deep: copies of pages that are copies, XOR, codec 3 and the same below", [
        *changed({9: patch(NEW, 600, b"again"), 10: patch(F, 8, b"f"), 11: patch(FORMS[12], 3000, b"abc"), 13: prose(31), 0: D}, two)],
        parent=two)
    good("child-depth-gap", "its depth is 64, its parent's 0", changed({2: F}, base_), parent=base_, depth=64)
    flat = good("parent-flat", "what child-all-forms stands for, without a parent", forms_items(base_), block_log2=15, codec="tiny")
    good("child-over-flat", "a child of child-all-forms that is given the same content without a parent instead", [
        *changed({2: patch(F, 8, b"f"), 8: G, 12: patch(FORMS[12], 3000, b"abc")}, forms)], parent=forms, parents=[flat.file],
        codecs={(0, 3): "over"})
    good("child-over-unchanged", "its parent's digest is also that of parent-base: either serves", changed({2: F}, unchanged), parent=unchanged)

    link = good("chain-00", "a chain of 64 parents: chain-64 stands on it", [ram({64: prose(60, 300).ljust(PAGE, b"\0")}, 66)])
    for depth in range(1, 65):
        last = patch(link.regions[0].pages[64], 4 * depth, b"%3d." % depth)
        pages = {**link.regions[0].pages, depth - 1: fill(b"level %d" % depth), 64: last}
        link = good(f"chain-{depth:02}", "an XOR over an XOR, and a page of its own", [ram(pages, 66)], parent=link, hint=b"",
                    choose={(0, 64): "xor"})
    refused("chain-65", Build([ram(link.regions[0].pages, 66)], parent=link, hint=b"").result(), "open", "chain of 65 parents", "limit",
            ("corrupt",), parents=[link.file, *link.parents])
    make_parent_mismatches(base_, forms, unchanged, two, three)
    make_child_records(base_)
    make_child_blocks(base_)
    make_named(base_, forms, wide, largest, tricky)


LAST_NUMBER = (1 << 40) - 1


def make_named(base_: Build, forms: Build, wide: Build, largest: Build, tricky: Build) -> None:
    """Codec 3 with named pages. `sources`: for the stored pages of a block, from which of its dictionary the frame takes them."""
    def child(name: str, note: str, items: list[Item], named: dict[tuple[int, int], list[int]],
              sources: dict[tuple[int, int], list[int]], parent: Build = base_, codec: str = "over", **options: Any) -> Build:
        tweaks = {f"block {r} {number}": from_dictionary(*places) for (r, number), places in sources.items()}
        return good(f"child-{name}", note, items, parent=parent, named=named, codecs=dict.fromkeys(named, codec), tweaks=tweaks, **options)

    pages, tail = base_.regions[0].pages, fill(prose(34, 100))
    moved, first, own = patch(prose(33), 900, b"moved"), patch(prose(31), 0, b"first"), patch(prose(32), 7, b"own")
    child("named", "codec 3 with one named page: the frame takes its bytes from there", changed({2: moved}, base_),
          {(0, 0): [12]}, {(0, 0): [0]})
    child("named-several", "named pages of blocks before and after: the frame takes its bytes from them and from the page at this place",
          changed({4: own, 5: moved, 6: first, 7: patch(tail, 99, b"-last")}, base_), {(0, 1): [1, 3, 12, 14]}, {(0, 1): [4, 2, 0, 3]})
    child("named-unused", "named pages that the frame takes nothing from", changed({1: first, 4: own}, base_),
          {(0, 0): [4, 12], (0, 1): [1, 2, 3, 8]}, {(0, 0): [3], (0, 1): [4]})
    child("named-neighbours", "the pages directly before and directly after the block are named",
          changed({9: patch(D, 0, b"d"), 10: moved}, base_), {(0, 2): [7, 12]}, {(0, 2): [0, 1]})
    for codec in ("over-zstd", "over-zstd19"):
        child(f"named-compressor{codec[9:]}", "named pages in frames as a compressor gives them", changed(
            {4: moved, 5: prose(31)[:2000] + prose(33)[2000:], 6: prose(40), 12: prose(31)[1000:] + prose(32)[:1000]}, base_),
            {(0, 1): [1, 12, 14], (0, 3): [1, 4, LAST_NUMBER]}, {}, codec=codec)
    child("named-with-copies", "a record with copies from both, named pages and a payload; a copy of what it stores", changed(
        {2: F, 4: prose(33), 5: F, 6: moved, 9: moved}, base_), {(0, 1): [1, 12]}, {(0, 1): [1]})
    child("named-256", "as many named pages as there may be; the frame takes its bytes from the first and the last", changed(
        {4: patch(A, 9, b"a"), 6: patch(D, 9, b"d"), 7: patch(B, 9, b"b")}, wide),
        {(0, 1): [0, *range(8, 260), 255 * 4, 256 * 4, 299 * 4 + 3]}, {(0, 1): [0, 255, 253]}, wide)
    for log2 in (16, 22):
        child(f"named-block-{log2}", "blocks larger than the parent's", changed({3: patch(C, 9, b"c"), 9: patch(D, 9, b"d")}, wide),
              {(0, 0): [256 * 4, 299 * 4 + 3]}, {(0, 0): [0, 1]}, wide, block_log2=log2)
    for codec in ("over", "over-zstd"):
        child(f"named-dictionary-magic{codec[4:]}", "a named page is raw content, also where it begins like a zstd dictionary", changed(
            {4: patch(tricky.regions[0].pages[3], 200, b"new")}, tricky, size=5 * PAGE), {(0, 1): [3]},
            {(0, 1): [0]} if codec == "over" else {}, tricky, codec)

    # Where the parent has nothing
    zero = [patch(ZERO, 100 * i, b"zero") for i in range(4)]
    child("named-past-end", "named pages past the end of the parent's region are zero, the short last one is filled up; numbers of 5 bytes",
          changed({8: patch(tail, 50, b"tail"), 9: zero[0], 10: zero[1], 11: zero[2]}, base_),
          {(0, 2): [14, 15, 1 << 32 | 12, LAST_NUMBER]}, {(0, 2): [0, 1, 2, 3]})
    child("named-number-max", "the page number 2^40 - 1", changed({2: zero[1]}, base_), {(0, 0): [LAST_NUMBER]}, {(0, 0): [0]})
    child("named-largest-region", "2^52 bytes: its last page and others far away are named", changed(
        {1: patch(C, 9, b"c"), 2: patch(B, 9, b"b"), LAST_NUMBER - 1: patch(A, 9, b"a")}, largest),
        {(0, 0): [1 << 39, LAST_NUMBER], (0, LAST_NUMBER >> 2): [0]}, {(0, 0): [1, 0], (0, LAST_NUMBER >> 2): [0]}, largest)
    child("named-no-counterpart", "named pages in a memory that the parent lacks, and in a state with the name of one of its memories", [
        *base_.regions, Region(MEMORY, "new", {0: zero[1], 9: zero[2]}, 11 * PAGE), Region(STATE, "pc.ram", {4: zero[3]}, 5 * PAGE)],
        {(3, 0): [4, LAST_NUMBER], (3, 2): [0], (4, 1): [1]}, {(3, 0): [0], (3, 2): [0], (4, 1): [0]})
    child("named-state", "named pages are those of the region's counterpart, whatever its number", [
        Region(STATE, "device", {**base_.regions[2].pages, 4: fill(patch(base_.regions[2].pages[1][:500], 10, b"state"))}, 4 * PAGE + 500),
        *base_.regions[:2]], {(0, 1): [0, 1]}, {(0, 1): [1]})

    # Where the region ends
    before = {0: A, 1: prose(31), 3: B}
    child("named-shrunk", "named pages are zero past the announced size, where the parent has other bytes", [
        Region(MEMORY, "pc.ram", {**before, 2: patch(fill(prose(32)[:1000]), 0, b"new"), 3: zero[1], 4: fill(prose(32)[:1000])},
               4 * PAGE + 1000), *base_.regions[1:]], {(0, 0): [4, 12]}, {(0, 0): [0, 1]})
    child("named-unknown-size", "size not announced: a named page is what the parent has, also past the region's end", [
        Region(MEMORY, "pc.ram", {**before, 0: zero[1], 1: zero[2], 2: own, 3: moved, 4: fill(prose(32)[:1000])}, 4 * PAGE + 1000,
               announced=False)], {(0, 0): [4, 12, 15, LAST_NUMBER]}, {(0, 0): [2, 3, 0, 1]})
    child("named-past-short-block", "a short block may name the page after its last: that is none of it", changed(
        {12: zero[1]}, base_), {(0, 3): [15]}, {(0, 3): [0]})
    child("named-past-short-block-unknown-size", "the same where the size was not announced and the parent has that page", [
        Region(MEMORY, "pc.ram", {**{n: p for n, p in pages.items() if n < 14}, 12: patch(tail, 50, b"tail")}, 13 * PAGE + 8,
               announced=False)], {(0, 3): [14]}, {(0, 3): [0]})

    # Chains
    two = child("named-depth-2", "named pages that the parent has as XOR, copy of its parent's, own copy, the same, codec 3", changed(
        {8: patch(NEW, 0, b"xor"), 9: patch(prose(35), 0, b"copy"), 10: patch(F, 0, b"own"), 11: patch(FORMS[12], 0, b"codec"),
         3: patch(prose(34, 100), 5, b"same").ljust(PAGE, b"\0")}, forms),
        {(0, 0): [14], (0, 2): [1, 4, 5, 12]}, {(0, 0): [0], (0, 2): [0, 1, 2, 3]}, forms)
    child("named-depth-3", "named pages that the parent has by named pages", changed(
        {0: patch(NEW, 0, b"XOR"), 1: patch(prose(35), 0, b"COPY"), 2: patch(FORMS[12], 0, b"CODEC"), 9: patch(tail, 5, b"SAME")}, two),
        {(0, 0): [8, 9, 11], (0, 2): [3]}, {(0, 0): [0, 1, 2], (0, 2): [0]}, two)


def make_parent_mismatches(base_: Build, forms: Build, unchanged: Build, two: Build, three: Build) -> None:
    def mismatch(name: str, hint: str, data: bytes, parents: list[str], by: str = "open", code: str = "parent_mismatch",
                 stream: str = "must") -> None:
        refused(f"mismatch-{name}", data, by, hint, code, stream=stream, parents=parents)

    own = bytes(Build(changed({2: F}, base_), parent=base_).build().out)
    other = good("parent-one-page-differs", "parent-base but for one byte", changed({14: fill(prose(34, 99) + b"!")}, base_))
    mismatch("one-byte", "has the digest", own, [other.file])
    mismatch("older", "has the digest", bytes(two.out), [base_.file])
    mismatch("newer", "has the digest", own, [forms.file, base_.file])
    mismatch("other-guest", "has the digest", own, ["golden-example.vmsnap"])
    mismatch("grandparent", "has the digest", bytes(three.out), [two.file, base_.file])
    mismatch("deeper", "has the digest", bytes(two.out), [forms.file, other.file])
    mismatch("size", "has the digest", own, ["child-grown-zero.vmsnap", base_.file])
    # Its content is the parent's, but it is as deep as the child.
    mismatch("depth-same", "is not less than 1", own, [unchanged.file, base_.file])
    mismatch("itself", "is not less than 1", bytes(unchanged.out), ["mismatch-itself.vmsnap", base_.file])
    # Two files, each the other's parent by digest; the third has the content of the first, so that there is a chain to offer.
    end = good("parent-cycle-end", "the content of child-cycle-of-two without a parent", [ram({0: A}, 1)])
    low = Build([ram({0: B}, 1)], parent=end, depth=1)
    low.file = "mismatch-cycle-of-two.vmsnap"
    good("child-cycle-of-two", "its parent's parent is given by its own digest, and is not itself", [ram({0: A}, 1)], parent=low.build(),
         depth=2, choose={(0, 0): "raw"})
    mismatch("cycle-of-two", "depth 2 is not less than 1", bytes(low.out), ["child-cycle-of-two.vmsnap", low.file, end.file])
    # A parent that says it is parent-base, and whose regions are others.
    false = Build(changed({14: fill(prose(34, 99) + b"?")}, base_), tweaks={"seal": put(digest=base_.digest)}).result()
    refused("parent-false-digest", false, "check", "snapshot's digest", stream="may")
    refused("mismatch-false-digest", own, "open", "snapshot's digest", "corrupt", ("parent_mismatch",),
            parents=["parent-false-digest.vmsnap"])
    mismatch("grandparent-missing", "has the digest", bytes(two.out), [forms.file])

    # The parent's index is whole, one of its blocks is not.
    origin = Build(base_items())
    origin.file = "record-bit-in-body.vmsnap"
    origin.build()
    damaged = bytes(Build(changed({4: F}, origin), parent=origin).build().out)
    refused("parent-damaged", damaged, "read", "body_check does not fit", parents=[origin.file])
    refused("parent-incomplete", damaged, "open", "no valid trailer", "truncated", parents=["cut-after-record.vmsnap"])


def make_child_records(base_: Build) -> None:
    feature = [(0, 0, "parent")]

    def child(name: str, hint: str, tweaks: dict[str, Tweak] | None = None, by: str = "open", code: str = "corrupt",
              also: tuple[str, ...] = (), stream: str = "must", items: list[Item] | None = None, **options: Any) -> None:
        data = Build(changed({2: F}, base_) if items is None else items, parent=base_, tweaks=tweaks, **options).result()
        refused(name, data, by, hint, code, also, stream, parents=[base_.file])

    def header(name: str, hint: str, **values: Any) -> None:
        child(f"child-header-{name}", hint, {"header": put(**values)}, also=("unsupported",))

    header("name-other", "under the name 'parents'", table=[(0, 0, b"parents")])
    header("name-empty", "feature name that is empty", table=[(0, 0, b"")])
    header("name-missing", "does not fit the feature bits", table=[])
    header("name-twice", "does not fit the feature bits", table=[(0, 0, b"parent"), (0, 0, b"parent")])
    header("depth-0", "parent_depth does not fit", parent_depth=0)
    header("without-feature", "parent_depth does not fit", incompatible=0, table=[])
    child("child-header-depth-max", "over the limit", {"header": put(parent_depth=65535)}, code="limit", also=("corrupt",))
    child("child-header-other-feature", "'frobnicate' (incompatible bit 7)", features=[(0, 7, "frobnicate")], code="unsupported")
    refused("header-feature-name-empty", base({"header": put(compatible=1, table=[(2, 0, b"")])}), "open", "feature name that is empty")

    # PARENT record. What the catalog repeats is as in the record, unless said otherwise.
    def record(name: str, words: str, by: str = "check", code: str = "corrupt", also: tuple[str, ...] = (), **values: Any) -> None:
        child(f"parent-record-{name}", words, {"parent": put(**values)}, by, code, also)

    record("hint-slash", "not a file name", "open", hint=b"../base.vmsnap")
    record("hint-slash-only", "not a file name", "open", hint=b"/")
    record("hint-zero-byte", "not a file name", "open", hint=b"base\0")
    record("hint-dot", "not a file name", "open", hint=b".")
    record("hint-dot-dot", "not a file name", "open", hint=b"..")
    record("hint-256", "over the limit", "open", "limit", ("corrupt",), hint=b"h" * 256)
    record("hint-bytes-max", "over the limit", "open", "limit", ("corrupt",), hint_bytes=65535)
    record("hint-bytes-more", "too short", "open", hint_bytes=len(base_.file) + 1)
    record("hint-bytes-less", "left over", "open", hint_bytes=len(base_.file) - 1)
    record("tail", "left over", tail=b"\0")
    record("body-short", "too short", body=bytes(33))
    record("body-empty", "too short", body=b"")
    record("codec", "codec of the head", codec=1)
    record("region", "region of the head", region=1)
    record("aux", "aux of the head", aux=1)
    record("number", "number of the head", number=1)
    record("body-check", "body_check does not fit", spoil_body_check=1)
    record("head-check", "head_check does not fit", spoil_head_check=1)
    record("prior", "prior does not fit", prior=0)
    record("digest", "has the digest", "open", "parent_mismatch", digest=bytes(32))

    again = {"digest": base_.digest, "hint": base_.file.encode()}
    child("parent-record-digest-unlike-catalog", "has the digest", {
        "parent": put(digest=bytes(32)), "catalog": put(parent=pack_parent(again))}, "check", "parent_mismatch", ("corrupt",))

    def twice(b: Build) -> None:
        b.record("again", PARENT, dict(again))
    child("parent-record-missing", "PARENT is not the first", by="check", drop=("parent",))
    child("parent-record-twice", "a second PARENT", by="check", before={"region 0": twice})
    child("parent-record-in-region", "a second PARENT", by="check", before={"block 0 0": twice})
    child("parent-record-before-catalog", "between SEAL and CATALOG", by="check", before={"catalog": twice})
    child("parent-record-after-meta", "PARENT is not the first", by="check", before={
        "parent": lambda b: void(b.record("m", META, {"pairs": [(b"k", b"v")]}))}, tweaks={
        "catalog": put(pairs=[(b"k", b"v")])})
    child("parent-record-after-ancillary", "PARENT is not the first", by="check", before={
        "parent": lambda b: void(b.record("x", 128, {"body": b""}))})
    child("parent-record-last", "PARENT is not the first", by="check", drop=("parent",), before={"seal": twice})

    # CATALOG
    def catalog(name: str, hint: str, body: bytes, by: str = "open", code: str = "corrupt", also: tuple[str, ...] = ()) -> None:
        child(f"catalog-parent-{name}", hint, {"catalog": put(parent=body)}, by, code, also, "may" if by == "open" else "must")

    catalog("missing", "too short", b"")
    catalog("short", "too short", pack_parent(again)[:-1])
    catalog("tail", "left over", pack_parent(again) + b"\0")
    catalog("twice", "left over", pack_parent(again) * 2)
    catalog("hint-slash", "not a file name", pack_parent({**again, "hint": b"a/b"}))
    catalog("hint-other", "does not fit the records", pack_parent({**again, "hint": b"other"}), "check")
    # A reader that seeks misses the parent, one from front to back finds the catalog wrong.
    catalog("digest-other", "has the digest", pack_parent({**again, "digest": bytes(32)}), code="parent_mismatch", also=("corrupt",))
    refused("catalog-parent-without-feature", base({"catalog": put(parent=pack_parent(again))}), "open", "meta_bytes", stream="may")
    child("catalog-parent-before-metadata", "", code="limit", also=("corrupt",), tweaks={"catalog": lambda f, b: f.update(
        tail=pack_meta({"pairs": f["pairs"]}), meta_bytes=len(pack_meta({"pairs": f["pairs"]})), pairs=[])}, stream="may",
        items=[Meta({"vm.name": "child"}), *changed({2: F}, base_)])

    # Digests are those of the content, not of what is stored.
    stored = Tree({2: F})

    def of_stored(f: Fields, b: Build) -> None:
        old = f["entries"][0]
        f["entries"][0] = (*old[:3], stored.at(2, 0))
    child("child-node-digest-of-stored", "digest in a node", {"node 0 0 0": of_stored}, "check", stream="may")
    region = base_.regions[0]
    body = pack_region(base_.records["region 0"].fields)
    child("child-region-digest-of-stored", "region's digest", {"close 0": put(digest=blake3(
        body[:8] + struct.pack("<Q", region.size) + body[16:] + stored.at(40, 0)))}, "check", stream="may")
    child("child-unchanged-digest-of-zero", "region's digest", {"close 1": put(digest=blake3(
        pack_region(base_.records["region 1"].fields) + zeros(40)))}, "check", stream="may")
    child("child-seal-digest", "snapshot's digest", {"seal": put(digest=base_.digest)}, "check", stream="may")
    child("child-block-records", "block_records is 2", {"close 0": put(block_records=2)}, "check")
    child("child-block-records-zero", "root without block records", {"close 0": put(block_records=0)}, stream="may")
    child("child-root-without-blocks", "root without block records", {"close 1": put(root_offset=64)}, stream="may")
    child("child-block-dropped", "block_records is 2", {"node 0 0 0": lambda f, b: void(f["entries"].pop(1))}, "check", drop=("block 0 1",),
          items=changed({2: F, 4: G}, base_))
    child("child-node-past-end", "past the region's end", {"node 0 0 0": lambda f, b: f["entries"].update({4: f["entries"][0]})}, "check",
          stream="may")


def make_child_blocks(base_: Build) -> None:
    """Refused BLOCK records of a child that is otherwise child-all-forms."""
    kinds = {0: [1, 3, 2, 0], 1: [4, 4, 1, 2], 3: [2, 1, 1]}
    over, own = IN_PARENT, copy_of(0, 2)

    def block(name: str, hint: str, values: Fields | Tweak, number: int = 0, by: str = "read", stream: str = "must",
              also: tuple[str, ...] = (), items: list[Item] | None = None, choose: dict[tuple[int, int], Any] | None = None,
              codecs: dict[tuple[int, int], str] | None = None, header: Fields | None = None, code: str = "corrupt") -> None:
        tweak = put(**values) if isinstance(values, dict) else values
        data = Build(forms_items(base_) if items is None else items, parent=base_, choose=choose,
                     codecs={(0, 3): "over"} if codecs is None else codecs,
                     tweaks={f"block 0 {number}": tweak, "header": put(**(header or {}))}).result()
        refused(f"child-block-{name}", data, by, hint, code, also, stream, [base_.file])

    nothing: Fields = {"copies": [], "payload": b"", "codec": 0}
    block("all-same", "same as the parent's has a record", {"kinds": [1, 1, 1, 1], **nothing})
    block("all-same-last", "same as the parent's has a record", {"kinds": [1, 1, 1], **nothing}, 3)
    for kind in (5, 15):
        block(f"kind-{kind}", f"page kind {kind}", {"kinds": [kind, 3, 2, 0]})
    block("unused-half", "unused half", {"map": b"\x12\x11"}, 3)
    block("zero-with-payload", "instead of 0", {"kinds": [0] * 4, "payload": b"x", "codec": 0})
    block("zero-with-codec", "codec without", {"kinds": [0] * 4, "payload": b"", "codec": OVER})
    block("same-with-payload", "instead of 4096", {"kinds": [1, 1, 2, 0]} | {"payload": F + F, "codec": 0})
    block("xor-missing", "instead of 8192", {"payload": F, "codec": 0})
    block("xor-zero", "stored all zero", lambda f, b: f.update(payload=bytes(PAGE) + F, codec=0), by="check", stream="may")
    block("raw-zero", "stored all zero", lambda f, b: f.update(payload=f["raw"][:PAGE] + bytes(PAGE), codec=0), by="check", stream="may")
    refused("block-raw-zero", base({"block 0 1": put(payload=ZERO, codec=0)}), "check", "stored all zero", stream="may")

    # Copies
    def copies(name: str, hint: str, first: int, second: int = own, **options: Any) -> None:
        block(f"copy-{name}", hint, {"copies": [first, second]}, 1, **options)

    copies("parent-region", "does not have", over | copy_of(3, 0))
    copies("parent-region-max", "does not have", over | copy_of(65535, 0))
    copies("parent-page", "does not have", over | copy_of(0, 15))
    copies("parent-page-max", "does not have", over | copy_of(0, (1 << 40) - 1))
    copies("parent-page-past-short-region", "does not have", over | copy_of(1, 3))
    for bit in (56, 62):
        copies(f"parent-reserved-{bit}", "reserved bits", over | 1 << bit | copy_of(1, 0))
        copies(f"own-reserved-{bit}", "reserved bits", over | copy_of(1, 0), own | 1 << bit)
    copies("of-same", "not raw", over | copy_of(1, 0), copy_of(0, 0))
    copies("of-xor", "not raw", over | copy_of(1, 0), copy_of(0, 1))
    copies("of-zero", "not raw", over | copy_of(1, 0), copy_of(0, 3))
    copies("of-parent-copy", "not raw", over | copy_of(1, 0), copy_of(0, 4))
    copies("not-before", "not before it", over | copy_of(1, 0), copy_of(0, 7))
    copies("not-before-bit-63-clear", "not before it", copy_of(1, 0))
    copies("window", "outside the copy window", over | copy_of(1, 0), header={"copy_window": 0}, by="check")
    block("copy-of-block-without-record", "not raw", {"kinds": [4, 1, 1], "copies": [copy_of(0, 8)], "payload": b"", "codec": 0}, 3)
    block("copy-two-own-blocks", "more than one other block", {"kinds": [4, 4, 4], "copies": [
        over | copy_of(0, 0), own, copy_of(0, 7)], "payload": b"", "codec": 0}, 3)
    block("copy-cut-short", "too short", {"kinds": [4, 1, 1], **nothing}, 3)

    # Codec 3, in block 3: pages raw, same, same
    def codec(name: str, hint: str, change: Callable[[bytes, bytes], Fields], also: tuple[str, ...] = ()) -> None:
        block(f"codec-3-{name}", hint, lambda f, b: f.update(change(f["raw"], f["dictionary"])), 3, also=also)

    codec("with-xor", "codec 3 with a page of kind 3", lambda raw, old: {"kinds": [3, 1, 1]})
    block("codec-3-with-xor-beside", "codec 3 with a page of kind 3", lambda f, b: f.update(
        codec=OVER, payload=frame_over(f["raw"], f["dictionary"], [1, 2])))
    codec("empty", "not a zstd frame", lambda raw, old: {"payload": b""})
    codec("cut", "cut short", lambda raw, old: {"payload": frame_over(raw, old, [0])[:-1]})
    codec("tail", "after the zstd frame", lambda raw, old: {"payload": frame_over(raw, old, [0]) + b"\0"})
    codec("not-shorter", "not shorter", lambda raw, old: {
        "payload": b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", PAGE - 256) + (PAGE << 3 | 1).to_bytes(3, "little") + raw})
    codec("content-size", "content size", lambda raw, old: {"payload": frame_over(raw + old[:PAGE], old, [0, 0])})
    codec("dictionary-id", "dictionary id", lambda raw, old: {"payload": patch(frame_over(raw, old, [0]), 4, b"\x61")})
    codec("checksum", "with a checksum", lambda raw, old: {"payload": patch(frame_over(raw, old, [0]), 4, b"\x64")
                                                           + struct.pack("<I", xxhash.xxh64_intdigest(raw) & 0xFFFFFFFF)})

    def lone(distance: int) -> bytes:
        part = zstd_match(b"x", distance, PAGE - 1)
        return b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", PAGE - 256) + (len(part) << 3 | 2 << 1 | 1).to_bytes(3, "little") + part
    codec("before-dictionary", "cannot be decoded", lambda raw, old: {"payload": lone(3 * PAGE + 2)})
    codec("number", "codec 4", lambda raw, old: {"codec": 4}, ("unsupported",))
    block("codec-2-with-dictionary", "cannot be decoded", {"codec": ZSTD}, 3)

    # Its named pages. What is refused would decode if it were not.
    def named(name: str, hint: str, numbers: list[int], number: int = 3, **options: Any) -> None:
        def change(f: Fields, b: Build) -> None:
            dictionary = b"".join([*(b.place(b.regions[0], n) for n in numbers), f["dictionary"]])
            places = [len(numbers) + i for i, kind in enumerate(f["kinds"]) if kind == 2]
            f.update(named=numbers, payload=frame_over(f["raw"], dictionary, places))
        block(f"named-{name}", hint, change, number, codecs={(0, number): "over"}, **options)

    limit: dict[str, Any] = {"code": "limit", "also": ("corrupt",)}
    named("257", "over the limit", list(range(15, 272)), **limit)
    block("named-65535", "over the limit", {"named": [4], "named_count": 65535}, 3, **limit)
    block("named-missing", "over the limit", lambda f, b: void(f.pop("named")), 3, **limit)  # the frame's magic, taken for a count
    for name, rest in (("", b""), ("-cut", b"\0")):
        block(f"named-count{name or '-missing'}", "too short", lambda f, b: f.update(payload=rest) or f.pop("named"), 3)
    block("named-cut", "too short", {"named": [4], "named_count": 2, "payload": bytes.fromhex("05000000")}, 3)
    block("named-cut-between", "too short", {"named": [4], "named_count": 2, "payload": b""}, 3)
    block("named-cut-256", "too short", {"named": list(range(15, 270)), "named_count": 256, "payload": b""}, 3)
    block("named-count-more", "not a zstd frame", {"named": [4], "named_count": 2}, 3)
    block("named-count-less", "not a zstd frame", {"named": [4, 5], "named_count": 1}, 3)
    block("named-without-payload", "not a zstd frame", {"named": [4], "payload": b""}, 3)
    named("descending", "not strictly ascending", [5, 4])
    named("descending-last", "not strictly ascending", [1, 4, 8, 7])
    named("descending-high-byte", "not strictly ascending", [1 << 32 | 4, 5])
    named("equal", "not strictly ascending", [4, 4])
    named("equal-zero", "not strictly ascending", [0, 0])
    named("equal-max", "not strictly ascending", [4, LAST_NUMBER, LAST_NUMBER])
    for place, number, page_number in (("first", 0, 0), ("last", 0, 3), ("first-short", 3, 12), ("last-short", 3, 14)):
        named(f"own-{place}", "one of the block itself", [page_number], number)
    named("own-between", "one of the block itself", [4, 13, 15])
    own_items: list[Item] = [Region(MEMORY, "pc.ram", {**base_.regions[0].pages, 12: FORMS[12]}, 14 * PAGE + 100, announced=False)]
    named("own-unannounced", "one of the block itself", [14], items=own_items)
    codec("before-named", "cannot be decoded", lambda raw, old: {"named": [4], "payload": lone(4 * PAGE + 2)})
    block("named-zero-block", "codec without", {"kinds": [0] * 4, "payload": b"", "codec": OVER, "named": [4]})
    block("named-copies-only", "codec without", {"kinds": [4, 1, 1], "copies": [over | copy_of(0, 0)], "payload": b"", "named": [4]}, 3)
    for name, other, hint in (("store", STORE, "instead of 4096"), ("lz4", LZ4, "cannot be decoded"), ("zstd", ZSTD, "not a zstd frame")):
        block(f"named-with-{name}", hint, lambda f, b: f.update(codec=other, payload=pack_named([4]) + (
            F if other == STORE else lz4_repeat(b"F", PAGE) if other == LZ4 else zstd_frame(F))), 3)
    refused("block-named-without-parent", base({"block 0 0": put(codec=OVER, named=[4])}), "read", "codec 3 without a parent",
            also=("unsupported",))

    # Filling of a short last page: page 14 of 100 bytes
    short = fill(patch(prose(34, 100), 90, b"xy"))
    for name, wish in (("xor", "xor"), ("raw", "raw")):
        block(f"filling-{name}", "not filled up", lambda f, b: f.update(payload=f["raw"][:-1] + b"!", codec=0), 3,
              items=changed({14: short}, base_), choose={(0, 14): wish}, codecs={})
        data = Build([Region(MEMORY, "pc.ram", base_.regions[0].pages | {14: short}, 14 * PAGE + 100, announced=False)], parent=base_,
                     choose={(0, 14): wish}, tweaks={"block 0 3": lambda f, b: f.update(payload=f["raw"][:-1] + b"!", codec=0)}).result()
        refused(f"child-block-filling-{name}-unannounced", data, "read", "not filled up", stream="may", parents=[base_.file])
    block("filling-codec-3", "not filled up", lambda f, b: f.update(payload=frame_over(short[:-1] + b"!", f["dictionary"], [2])), 3,
          items=changed({14: short}, base_), codecs={(0, 3): "over"})
    block("filling-parent-copy", "not filled up", {"kinds": [1, 1, 4], "copies": [over | copy_of(0, 0)], "payload": b"", "codec": 0}, 3,
          items=changed({14: short}, base_))
    block("filling-own-copy", "not filled up", {"kinds": [1, 1, 4], "copies": [own], "payload": b"", "codec": 0}, 3,
          items=changed({2: F, 14: short}, base_))
    # Where the size is not announced, the parent's page is not cut at it: so one that is cut is not the same.
    def ends(pages: dict[int, bytes]) -> list[Item]:
        return [Region(MEMORY, "pc.ram", {0: A, 1: prose(31), 3: B, 4: prose(32), 5: C[:1000], **pages}, 5 * PAGE + 1000, announced=False)]

    def late(name: str, by: str, items: list[Item], **options: Any) -> None:
        refused(f"child-block-filling-{name}-unannounced", Build(items, parent=base_, **options).result(), by, "not filled up",
                stream="may", parents=[base_.file])
    late("same", "check", ends({4: G}), choose={(0, 5): "same"})
    late("xor-cut", "read", ends({4: G, 5: C[:999] + b"!"}), choose={(0, 5): "xor"}, tweaks={
        "block 0 1": lambda f, b: f.update(payload=f["raw"][:PAGE + 1000] + bytes(PAGE - 1000), codec=0)})
    late("codec-3-cut", "read", ends({5: C[:999] + b"!"}), codecs={(0, 1): "over"}, tweaks={
        "block 0 1": lambda f, b: f.update(payload=frame_over(patch(C, 999, b"!"), f["dictionary"], [1]))})
    uncut = ends({2: F})
    uncut[0].pages[5] = C  # so that block 1 has no record
    late("no-record", "check", uncut, tweaks={"close 0": put(digest=Build(ends({2: F}), parent=base_).build().digests[0])})

    # XOR with what the parent has past the child's end: the bytes there are not the region's, so they are zero, not the parent's.
    cut = [Region(MEMORY, "pc.ram", {0: A, 1: prose(31), 3: B, 4: fill(patch(prose(32)[:1000], 990, b"0123"))}, 4 * PAGE + 1000)]
    block("filling-xor-shrunk", "not filled up", lambda f, b: f.update(payload=f["raw"][:1000] + prose(32)[1000:], codec=0), 1,
          items=list(cut), choose={(0, 4): "xor"}, codecs={})


# ---------------------------------------------------------------------------------------------------------------------
# SPEC 16: the golden example byte by byte

class Listing:
    """Lines of offset, bytes and meaning, over a file that was made above."""

    def __init__(self, build: Build) -> None:
        self.data, self.at, self.lines = bytes(build.out), 0, list[str]()

    def title(self, text: str) -> None:
        self.lines.append(f"# {text}")

    def take(self, size: int, meaning: str) -> bytes:
        part = self.data[self.at:self.at + size]
        for start in range(0, size, 16):
            row = part[start:start + 16].hex(" ")
            self.lines.append(f"{self.at + start:04x}  {row:<47}  {meaning if start == 0 else ''}".rstrip())
        self.at += size
        return part

    def repeated(self, size: int, meaning: str) -> None:
        part = self.data[self.at:self.at + size]
        assert len(set(part)) == 1
        self.lines.append(f"{self.at:04x}  {f'{part[0]:02x} × {size}':<47}  {meaning}")
        self.at += size

    def number(self, size: int, meaning: str) -> int:
        value = int.from_bytes(self.data[self.at:self.at + size], "little")
        self.take(size, meaning.replace("%x", f"0x{value:x}").replace("%", str(value)))
        return value

    def head(self, note: dict[str, str]) -> None:
        for size, name in ((4, "magic"), (1, "type"), (1, "codec"), (2, "region"), (4, "body_bytes"), (4, "aux"), (8, "number"),
                           (8, "body_check"), (8, "prior"), (8, "head_check")):
            if name in ("magic", "body_check", "prior", "head_check"):
                self.take(size, f"{name}{note.get(name, '')}")
            else:
                self.number(size, f"{name} %{note.get(name, '')}")

    def region_body(self) -> None:
        self.number(1, "kind %")
        self.number(1, "guest_page_log2 %")
        name = self.number(2, "name_bytes %")
        placements = self.number(4, "placements %")
        self.number(8, "announced_size %")
        self.take(name, f"name: {self.data[self.at:self.at + name].decode()}")
        for _ in range(placements):
            self.number(8, "guest_address %x")
            self.number(8, "offset %")
            self.number(8, "length %")

    def close_body(self, region: str) -> None:
        self.number(8, "root_offset %x")
        self.number(4, "root_bytes %")
        self.take(8, "root_check: the node's head_check")
        self.number(8, "block_records %")
        self.take(32, f"digest of the region {region}")

    def node_body(self, names: list[str]) -> None:
        bits = self.data[self.at]
        self.take(32, f"present: {bin(bits).count('1')} of 256 children")
        for name in names:
            self.number(8, f"offset %x: {name}")
            self.number(4, "record_bytes %")
            self.take(8, "head_check")
            self.take(32, f"digest of the pages of {name}")

    def pair(self) -> None:
        key, value = struct.unpack_from("<HI", self.data, self.at)
        self.number(2, "key_bytes %")
        self.number(4, "value_bytes %")
        self.take(key, f"key: {self.data[self.at:self.at + key].decode()}")
        self.take(value, f"value: {self.data[self.at:self.at + value].decode()}")


def listing() -> str:
    build = Build(golden_items(), codec="store", copy_window=16).build()
    out = Listing(build)
    out.title("header")
    out.take(8, "magic")
    for size, name in ((4, "version"), (4, "header_bytes"), (8, "incompatible"), (8, "read_compatible"), (8, "compatible"),
                       (1, "block_log2"), (1, "page_log2"), (2, "parent_depth"), (4, "copy_window"), (4, "feature_names"), (4, "zero")):
        out.number(size, f"{name} %")
    out.take(8, "check = XXH3(bytes 0…55, 0): there is no feature table")
    out.title("META")
    out.head({"type": ": META", "prior": ": the header's check", "head_check": " = XXH3(the 40 bytes before, 0x40)"})
    out.pair()
    out.title("REGION 0: pc.ram")
    out.head({"type": ": REGION", "prior": ": META's head_check"})
    out.region_body()
    out.title("BLOCK 0 of region 0: pages 0 to 3")
    out.head({"type": ": BLOCK", "codec": ": store", "aux": " pages", "number": ": block"})
    out.take(2, "map: pages 0 … 3 are zero, raw, copy, raw")
    out.take(8, "copies: page 2 is page 1 of region 0")
    out.repeated(4096, "payload: page 1")
    out.repeated(4096, "payload: page 3")
    out.title("BLOCK 1 of region 0: page 4, the last")
    out.head({"type": ": BLOCK", "codec": ": store, the payload is empty", "aux": " page", "number": ": block"})
    out.take(1, "map: page 4 is a copy; the unused half is 0")
    out.take(8, "copies: page 4 is page 1 of region 0")
    out.title("NODE: the root of region 0")
    out.head({"type": ": NODE", "aux": ": level", "number": ": node"})
    out.node_body(["block 0", "block 1"])
    out.title("CLOSE of region 0")
    out.head({"type": ": CLOSE", "number": ": the region's size"})
    out.close_body("pc.ram")
    out.title("REGION 1: dev")
    out.head({"type": ": REGION"})
    out.region_body()
    out.title("BLOCK 0 of region 1: one page, short")
    out.head({"type": ": BLOCK", "codec": ": store", "aux": " page", "number": ": block"})
    out.take(1, "map: page 0 is raw; the unused half is 0")
    out.take(3, "payload: the region's 3 bytes, \"on\\n\"")
    out.repeated(4093, "payload: filled up")
    out.title("NODE: the root of region 1")
    out.head({"type": ": NODE", "aux": ": level", "number": ": node"})
    out.node_body(["block 0"])
    out.title("CLOSE of region 1")
    out.head({"type": ": CLOSE", "number": ": the region's size"})
    out.close_body("dev")
    out.title("SEAL")
    out.head({"type": ": SEAL"})
    out.number(4, "regions %")
    out.take(32, "digest of the snapshot")
    out.title("CATALOG")
    out.head({"type": ": CATALOG"})
    out.number(4, "regions %")
    out.number(4, "meta_bytes %")
    out.take(32, "digest of the snapshot")
    for name in ("pc.ram", "dev"):
        out.region_body()
        out.number(8, "size %")
        out.close_body(name)
    out.pair()
    out.title("trailer")
    out.take(8, "magic")
    out.number(8, "file_bytes %")
    out.number(8, "catalog_offset %x")
    out.number(4, "catalog_bytes %")
    out.number(4, "zero %")
    out.take(8, "catalog_check: CATALOG's head_check")
    out.take(8, "header_check: the header's check")
    out.number(8, "records %")
    out.take(8, f"check = XXH3(the 56 bytes before, 0x{len(build.out) - 64:x})")
    assert out.at == len(build.out)
    return "\n".join(out.lines) + "\n"


def digests() -> str:
    """How the digests of golden-example come about."""
    region = golden_items()[1]
    assert isinstance(region, Region)
    tree, build = Tree({n: p for n, p in region.pages.items() if p != ZERO}), Build(golden_items(), codec="store").build()
    body = pack_region(build.records["region 0"].fields)
    rows = [
        ("Z(0) = BLAKE3(4096 × 00)", zeros(0)), ("Z(1) = BLAKE3(Z(0) + Z(0))", zeros(1)), ("Z(2) = BLAKE3(Z(1) + Z(1))", zeros(2)),
        ("Z(40)", zeros(40)), ("a = BLAKE3(4096 × 41)", hash_page(A)), ("b = BLAKE3(4096 × 42)", hash_page(B)),
        ("p = BLAKE3(Z(0) + a), pages 0 and 1", tree.at(1, 0)), ("q = BLAKE3(a + b), pages 2 and 3", tree.at(1, 1)),
        ("block 0 = BLAKE3(p + q)", tree.at(2, 0)), ("r = BLAKE3(a + Z(0)), pages 4 and 5", tree.at(1, 2)),
        ("block 1 = BLAKE3(r + Z(1))", tree.at(2, 1)), ("pages 0 to 7 = BLAKE3(block 0 + block 1)", tree.at(3, 0)),
        ("pages 0 to 15 = BLAKE3(that + Z(3))", tree.at(4, 0)), ("T = … + Z(39): 2^40 pages", tree.at(40, 0)),
        ("pc.ram = BLAKE3(bytes 00b1…00de + T)", blake3(body + tree.at(40, 0))), ("dev, likewise", build.digests[1]),
        ("snapshot = BLAKE3(pc.ram + dev)", blake3(b"".join(build.digests)))]
    return "".join(f"{name:<42}{digest.hex()}\n" for name, digest in rows)


def short_head(out: Listing, name: str, prior: str = "prior") -> int:
    """A record's head in three rows."""
    fields = struct.unpack_from("<4sBBHIIQ", out.data, out.at)
    out.take(16, f"magic, type {fields[1]}: {name}, codec {fields[2]}, region {fields[3]}, body_bytes {fields[4]}, aux {fields[5]}")
    out.take(16, f"number {fields[6]}, body_check")
    out.take(16, f"{prior}, head_check")
    return int(fields[4])


def golden_child(items: list[Item], **options: Any) -> Build:
    return Build(items, parent=golden_parent(), copy_window=16, **options).build()


def child_listing() -> str:
    build = golden_child(golden_child_items(), codec="store")
    out = Listing(build)
    out.title("header")
    out.take(8, "magic")
    for size, name in ((4, "version"), (4, "header_bytes"), (8, "incompatible %: bit 0 is set"), (8, "read_compatible"),
                       (8, "compatible"), (1, "block_log2"), (1, "page_log2"), (2, "parent_depth"), (4, "copy_window"),
                       (4, "feature_names"), (4, "zero")):
        out.number(size, name if "%" in name else f"{name} %")
    out.take(8, "check = XXH3(bytes 00…37 + bytes 40…6f, 0)")
    out.take(2, "feature name: word 0, bit 0")
    out.take(6, "name: parent")
    out.repeated(40, "filled up")
    out.title("PARENT")
    short_head(out, "PARENT", "prior: the header's check")
    out.take(32, "digest of golden-example")
    hint = out.number(2, "hint_bytes %")
    out.take(hint, "hint: golden-example.vmsnap")
    out.title("REGION 0: pc.ram")
    short_head(out, "REGION")
    out.take(46, "as in golden-example")
    out.title("BLOCK 0 of region 0: pages 0 to 3")
    short_head(out, "BLOCK")
    out.take(2, "map: pages 0 … 3 are copy, zero, same, XOR")
    out.take(8, "copies: page 0 is page 3 of the parent's region 0")
    out.take(1, "payload: page 3 XOR the parent's page 3")
    out.repeated(4095, "the bytes in which they do not differ")
    out.title("BLOCK 1 of region 0: page 4, the last")
    short_head(out, "BLOCK")
    out.take(1, "map: page 4 is raw; the unused half is 0")
    out.repeated(4096, "payload: page 4")
    out.title("NODE: the root of region 0")
    short_head(out, "NODE")
    out.node_body(["block 0", "block 1"])
    out.title("CLOSE of region 0")
    short_head(out, "CLOSE")
    out.close_body("pc.ram")
    out.title("REGION 1: dev")
    short_head(out, "REGION")
    out.take(19, "as in golden-example")
    out.title("CLOSE of region 1: nothing has changed, so there is no BLOCK and no index")
    short_head(out, "CLOSE")
    out.take(20, "root_offset 0, root_bytes 0, root_check 0")
    out.number(8, "block_records %")
    out.take(32, "digest of the region dev")
    out.title("SEAL")
    short_head(out, "SEAL")
    out.number(4, "regions %")
    out.take(32, "digest of the snapshot")
    out.title("CATALOG")
    short_head(out, "CATALOG")
    out.number(4, "regions %")
    out.number(4, "meta_bytes %")
    out.take(32, "digest of the snapshot")
    for name, body in (("pc.ram", 46), ("dev", 19)):
        out.take(body, f"REGION's body: {name}")
        out.number(8, "size %")
        out.take(60, "CLOSE's body")
    out.take(34 + hint, "PARENT's body")
    out.title("trailer")
    out.take(8, "magic")
    out.number(8, "file_bytes %")
    out.number(8, "catalog_offset %x")
    out.number(4, "catalog_bytes %")
    out.number(4, "zero %")
    out.take(8, "catalog_check: CATALOG's head_check")
    out.take(8, "header_check: the header's check")
    out.number(8, "records %")
    out.take(8, f"check = XXH3(the 56 bytes before, 0x{len(build.out) - 64:x})")
    assert out.at == len(build.out)
    return "\n".join(out.lines) + "\n"


def child_digests() -> str:
    """How the digests of golden-child come about, after those of golden-example."""
    build = golden_child(golden_child_items(), codec="store")
    tree = Tree(build.regions[0].pages)
    rows = [
        ("c = BLAKE3(4096 × 43)", hash_page(C)), ("d = BLAKE3(62 + 4095 × 42)", tree.at(0, 3)),
        ("p = BLAKE3(b + Z(0)), pages 0 and 1", tree.at(1, 0)), ("q = BLAKE3(a + d), pages 2 and 3", tree.at(1, 1)),
        ("block 0 = BLAKE3(p + q)", tree.at(2, 0)), ("r = BLAKE3(c + Z(0)), pages 4 and 5", tree.at(1, 2)),
        ("block 1 = BLAKE3(r + Z(1))", tree.at(2, 1)), ("T, likewise: 2^40 pages", tree.at(40, 0)),
        ("pc.ram = BLAKE3(REGION's body + T)", build.digests[0]), ("dev, as in golden-example", build.digests[1]),
        ("snapshot = BLAKE3(pc.ram + dev)", build.digest)]
    return "".join(f"{name:<42}{digest.hex()}\n" for name, digest in rows)


def zstd_listing() -> str:
    """The one BLOCK record of golden-child-zstd."""
    out = Listing(golden_child(golden_zstd_items(), **GOLDEN_ZSTD))
    out.at = out.data.index(b"vmsr\x02")
    end = out.at + 48 + struct.unpack_from("<I", out.data, out.at + 8)[0]
    short_head(out, "BLOCK")
    out.take(1, "map: page 4 is raw; the unused half is 0")
    out.number(2, "named: % page")
    out.number(5, "named: page % of the region, as the parent has it")
    out.take(4, "payload: magic of a zstd frame")
    out.take(1, "frame: one segment, content size in 2 bytes, no checksum, no dictionary id")
    out.take(2, "content size 4096 - 256")
    out.take(3, "zstd block: the last, compressed, 14 bytes")
    out.take(1, "4 literals, raw")
    out.take(4, "literals: new!")
    out.take(1, "1 sequence")
    out.take(1, "each of the three code tables is a single code:")
    out.take(1, "literal length 4")
    out.take(1, "offset code 13: 2^13 + 13 bits - 3")
    out.take(1, "match length code 47: 2051 + 11 bits")
    out.take(4, "from the end: 1, the 13 bits 3, the 11 bits 2041: offset 8192, match length 4092")
    assert out.at == end
    return "\n".join(out.lines) + "\n"


def make_all() -> None:
    make_good()
    make_header()
    make_trailer()
    make_records()
    make_regions()
    make_blocks()
    make_nodes()
    make_close()
    make_meta_seal_catalog()
    make_children()
    make_working_sets()


# ---------------------------------------------------------------------------------------------------------------------

def manifest() -> str:
    lines = ",\n".join("    " + json.dumps(v.entry, ensure_ascii=True) for v in VECTORS)
    return '{\n  "format": 1,\n  "vectors": [\n' + lines + "\n  ]\n}\n"


def write() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.vmsnap"):
        if all(v.name != old.stem for v in VECTORS):
            old.unlink()
    for vector in VECTORS:
        (FOLDER / f"{vector.name}.vmsnap").write_bytes(vector.data)
    (FOLDER / "MANIFEST.json").write_text(manifest())
    print(f"{len(VECTORS)} vectors, {sum(len(v.data) for v in VECTORS)} bytes")
    return 0


def compare() -> int:
    """A vector made by a real compressor may come out otherwise with another version of it: the file that stands counts."""
    standing = {v["file"]: v for v in json.loads((FOLDER / "MANIFEST.json").read_text())["vectors"]}
    wrong = []
    for vector in VECTORS:
        name = f"{vector.name}.vmsnap"
        path = FOLDER / name
        data = path.read_bytes() if path.exists() else b""
        entry = dict(vector.entry)
        if "compressor" in entry and data != vector.data:
            print(f"note: {name}: another version of the compressor gives other bytes")
            entry["sha256"] = hashlib.sha256(data).hexdigest()
        elif data != vector.data:
            wrong.append(f"{name}: not what this script makes")
        if standing.pop(name, None) != entry:
            wrong.append(f"{name}: its entry in the manifest is another")
    wrong += [f"{name}: in the manifest, but not made by this script" for name in standing]
    spec = SPEC.read_text()
    if listing() not in spec or digests() not in spec:
        wrong.append("SPEC.md: section 16 does not hold the listing and the digests of golden-example")
    if any(part not in spec for part in (child_listing(), child_digests(), zstd_listing())):
        wrong.append("SPEC.md: section 17 does not hold the listings and the digests of golden-child and golden-child-zstd")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(VECTORS)} vectors: {len(wrong)} differences")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes or compares format/vectors/v1.")
    parser.add_argument("--write", action="store_true", help="write the files and the manifest")
    parser.add_argument("--listing", action="store_true", help="print the listings for SPEC 16 and 17")
    options = parser.parse_args()
    if options.listing:
        print(listing(), digests(), child_listing(), child_digests(), zstd_listing(), sep="\n", end="")
        return 0
    make_all()
    return write() if options.write else compare()


if __name__ == "__main__":
    sys.exit(main())

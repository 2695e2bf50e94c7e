#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A slow, complete decoder of the vmsnap container, written from SPEC.md alone.

    decode.py FILE                 checks everything and prints a description as JSON
    decode.py FILE --extract DIR   the same, then writes each region to DIR/<number>-<name>
    decode.py FILE --no-digests    leaves out the content digests (BLAKE3 in pure Python: about 500 KB/s)
    decode.py FILE --parent P …    the same for a child: one --parent for each of its ancestors, in any order
    decode.py --selftest           runs over vectors/v1/MANIFEST.json

A file is checked twice, by a walk from front to back and by seeking from the trailer, and both must give the same. A child
without any --parent is checked as far as it goes without: no digests, no content.
Exit status 0: the file is whole. 1: it is refused, with "incomplete|damaged|unsupported|limit|parent: offset: cause" on stderr.
2: wrong usage, or the file cannot be read.

Needs the packages zstandard, lz4 and xxhash.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lz4.block
import xxhash
import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parent))
from blake3_py import blake3  # noqa: E402

# ---------------------------------------------------------------------------------------------------------------------
# Constants: SPEC 2, 4, 5, 15

HEADER_MAGIC = bytes.fromhex("89564D530D0A1A0A")
TRAILER_MAGIC = bytes.fromhex("8A564D53454E440A")
RECORD_MAGIC = b"vmsr"
PAGE = 4096
HEADER, HEAD, TRAILER, FEATURE, ENTRY, CLOSE_BODY = 64, 48, 64, 48, 52, 60
MAX_HEADER = 65536
MAX_BODY = (16 << 20) + 65536
MAX_CATALOG_BODY = 16 << 20
MAX_REGION = 1 << 52
MAX_REGIONS = 4096
MAX_NAME = 1023
MAX_PLACEMENTS = 64
MAX_META, MAX_KEY, MAX_VALUE = 4 << 20, 255, 1 << 20
MAX_FILE = (1 << 63) - 1
MAX_PARENTS, MAX_HINT = 64, 255
MAX_NAMED = 256
MAX_RANGES = 65536
WORKING_SET_MAGIC = bytes.fromhex("8B564D535753540A")
SEAL_BYTES, TAIL, RANGE = 84, 16, 12
UNKNOWN = (1 << 64) - 1
TREE_HEIGHT = 40
MAX_LEVEL = 4  # 2^52 bytes in blocks of 2^14: 2^38 blocks, 256^5 > 2^38

REGION, BLOCK, NODE, CLOSE, META, SEAL, CATALOG, PARENT, ANCILLARY, WORKING_SET = 1, 2, 3, 4, 5, 6, 7, 8, 128, 132
TYPE_NAMES = {1: "REGION", 2: "BLOCK", 3: "NODE", 4: "CLOSE", 5: "META", 6: "SEAL", 7: "CATALOG", 8: "PARENT", 132: "WORKING_SET"}
KIND_NAMES = {1: "memory", 2: "state"}
STORE, LZ4, ZSTD, ZSTD_OVER_PARENT = 0, 1, 2, 3
ZERO_KIND, SAME, RAW, XOR, COPY = 0, 1, 2, 3, 4
FEATURE_WORDS = ("incompatible", "read_compatible", "compatible")
KNOWN_FEATURES = {("incompatible", 0): "parent"}
MAX_PLAIN_HASH = 1 << 30  # larger regions are hashed sparsely only

ZERO_PAGE = bytes(PAGE)
MASK64 = (1 << 64) - 1

INCOMPLETE, DAMAGED, UNSUPPORTED, LIMIT, MISMATCH = "truncated", "corrupt", "unsupported", "limit", "parent_mismatch"
WORDS = {INCOMPLETE: "incomplete", DAMAGED: "damaged", UNSUPPORTED: "unsupported", LIMIT: "limit", MISMATCH: "parent"}


class Refusal(Exception):
    """The file is refused: a code, the file offset, and the cause."""

    def __init__(self, offset: int, cause: str, code: str = DAMAGED) -> None:
        super().__init__(f"{WORDS[code]}: {offset}: {cause}")
        self.offset, self.cause, self.code = offset, cause, code


def xxh3(data: bytes, seed: int) -> int:
    return int(xxhash.xxh3_64_intdigest(data, seed=seed))


# ---------------------------------------------------------------------------------------------------------------------
# Content digests: SPEC 11

@functools.lru_cache(maxsize=8192)
def page_digest(page: bytes) -> bytes:
    return blake3(page)


@functools.lru_cache(maxsize=65536)
def pair_digest(left: bytes, right: bytes) -> bytes:
    return blake3(left + right)


@functools.lru_cache(maxsize=None)
def zero_digest(height: int) -> bytes:
    """Z(height): 2^height zero pages."""
    if height == 0:
        return blake3(ZERO_PAGE)
    below = zero_digest(height - 1)
    return pair_digest(below, below)


def fold(children: dict[int, bytes], width_log2: int, height: int) -> bytes:
    """The digest of 2^width_log2 neighbours of 2^height pages each; those not in `children` are zero."""
    for step in range(width_log2):
        zero = zero_digest(height + step)
        above: dict[int, bytes] = {}
        for i in {c >> 1 for c in children}:
            above[i] = pair_digest(children.get(2 * i, zero), children.get(2 * i + 1, zero))
        children = above
    return children.get(0, zero_digest(height + width_log2))


# ---------------------------------------------------------------------------------------------------------------------
# The file

class File:
    def __init__(self, path: str | Path) -> None:
        self.name = os.path.basename(path)
        self.fd = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size

    def close(self) -> None:
        os.close(self.fd)

    def at(self, offset: int, length: int) -> bytes:
        """What the file has of these bytes: fewer at its end."""
        if offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        parts = []
        while length:
            part = os.pread(self.fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)


# ---------------------------------------------------------------------------------------------------------------------
# Header and trailer: SPEC 4, 14

@dataclass(frozen=True)
class Header:
    header_bytes: int
    features: list[dict[str, Any]]
    block_log2: int
    copy_window: int
    check: int
    parent_depth: int

    @property
    def is_child(self) -> bool:
        return self.parent_depth != 0

    @property
    def block_bytes(self) -> int:
        return 1 << self.block_log2

    @property
    def pages_log2(self) -> int:
        """Pages of a whole block, as a power of two."""
        return self.block_log2 - 12


def read_header(file: File) -> Header:
    fixed = file.at(0, HEADER)
    if not HEADER_MAGIC.startswith(fixed[:8]):
        raise Refusal(0, "not a vmsnap file: wrong magic")
    if len(fixed) < 12:
        raise Refusal(len(fixed), "the file ends in its header", INCOMPLETE)
    version = struct.unpack_from("<I", fixed, 8)[0]
    if version != 1:
        raise Refusal(8, f"format version {version} is not known", UNSUPPORTED)
    if len(fixed) < HEADER:
        raise Refusal(len(fixed), "the file ends in its header", INCOMPLETE)
    (_, _, header_bytes, incompatible, read_compatible, compatible, block_log2, page_log2, parent_depth, copy_window,
     feature_names, zero, check) = struct.unpack("<8sIIQQQBBHIIIQ", fixed)
    if header_bytes > MAX_HEADER:
        raise Refusal(12, f"header of {header_bytes} bytes is over the limit", LIMIT)
    if header_bytes != HEADER + FEATURE * feature_names:
        raise Refusal(12, "header_bytes does not fit feature_names")
    whole = file.at(0, header_bytes)
    if len(whole) < header_bytes:
        raise Refusal(len(whole), "the file ends in its header", INCOMPLETE)
    if xxh3(whole[:56] + whole[64:], 0) != check:
        raise Refusal(56, "the header's check does not fit")
    if zero != 0:
        raise Refusal(52, "reserved field of the header is not zero")

    words = (incompatible, read_compatible, compatible)
    expected = [(w, b) for w in range(3) for b in range(64) if words[w] >> b & 1]
    features = []
    for i in range(feature_names):
        at = HEADER + FEATURE * i
        word, bit, raw = struct.unpack_from("<BB46s", whole, at)
        name = raw.rstrip(b"\0")
        if word > 2 or bit > 63:
            raise Refusal(at, "feature name for a word or bit that does not exist")
        if not name:
            raise Refusal(at + 2, "feature name that is empty")
        if b"\0" in name:
            raise Refusal(at + 2, "feature name with a zero byte inside")
        features.append({"word": FEATURE_WORDS[word], "bit": bit, "name": name.decode("utf-8", "replace")})
    if [(FEATURE_WORDS.index(f["word"]), f["bit"]) for f in features] != expected:
        raise Refusal(48, "the feature name table does not fit the feature bits")
    has_parent = bool(incompatible & 1)
    if (parent_depth != 0) != has_parent:
        raise Refusal(42, "parent_depth does not fit the feature parent")
    if parent_depth > MAX_PARENTS:
        raise Refusal(42, f"chain of {parent_depth} parents is over the limit", LIMIT)
    for i, feature in enumerate(features):
        known = KNOWN_FEATURES.get((feature["word"], feature["bit"]))
        if known is not None and known != feature["name"]:
            raise Refusal(HEADER + FEATURE * i + 2, f"feature {known!r} under the name {feature['name']!r}")
        if feature["word"] == "incompatible" and known is None:
            raise Refusal(16, f"feature {feature['name']!r} (incompatible bit {feature['bit']}) is not known", UNSUPPORTED)
    if page_log2 != 12:
        raise Refusal(41, f"page_log2 {page_log2} is not legal")
    if not 14 <= block_log2 <= 22:
        raise Refusal(40, f"block_log2 {block_log2} is not legal", LIMIT)
    if copy_window > (1 << 28) >> block_log2:
        raise Refusal(44, f"copy_window {copy_window} is over the limit", LIMIT)
    return Header(header_bytes, features, block_log2, copy_window, check, parent_depth)


@dataclass(frozen=True)
class Trailer:
    offset: int
    file_bytes: int
    catalog_offset: int
    catalog_bytes: int
    zero: int
    catalog_check: int
    header_check: int
    records: int


def find_trailer(file: File, offset: int) -> Trailer | None:
    """The valid trailer at `offset`: right magic, right check."""
    raw = file.at(offset, TRAILER) if offset >= 0 else b""
    if len(raw) < TRAILER or raw[:8] != TRAILER_MAGIC:
        return None
    fields = struct.unpack("<8sQQIIQQQQ", raw)
    if xxh3(raw[:56], (fields[2] + fields[3]) & MASK64) != fields[8]:
        return None
    return Trailer(offset, *fields[1:8])


def check_trailer(trailer: Trailer, file: File, header: Header) -> None:
    at = trailer.offset
    if trailer.zero != 0:
        raise Refusal(at + 28, "reserved field of the trailer is not zero")
    if trailer.file_bytes > MAX_FILE:
        raise Refusal(at + 8, "file_bytes is over the limit", LIMIT)
    if trailer.file_bytes != file.size:
        raise Refusal(at + 8, f"the trailer is that of a file of {trailer.file_bytes} bytes")
    if trailer.catalog_offset + trailer.catalog_bytes + TRAILER != trailer.file_bytes:
        raise Refusal(at + 16, "catalog and trailer do not end where the file ends")
    if trailer.catalog_bytes < HEAD:
        raise Refusal(at + 24, "catalog_bytes is too small")
    if trailer.catalog_bytes > HEAD + MAX_CATALOG_BODY:
        raise Refusal(at + 24, "catalog is over the limit", LIMIT)
    if trailer.catalog_offset < header.header_bytes:
        raise Refusal(at + 16, "catalog_offset lies in the header")
    if trailer.header_check != header.check:
        raise Refusal(at + 40, "the trailer belongs to another header")


# ---------------------------------------------------------------------------------------------------------------------
# Records: SPEC 5

@dataclass(frozen=True)
class Record:
    offset: int
    type: int
    codec: int
    region: int
    aux: int
    number: int
    prior: int
    head_check: int
    body: bytes

    @property
    def record_bytes(self) -> int:
        return HEAD + len(self.body)


def read_record(file: File, header: Header, offset: int, end: int, missing: str) -> Record:
    """The record at `offset`, head and body checked, all of it before `end`; `missing` is the code where it is not."""
    raw = file.at(offset, HEAD)
    if offset + HEAD > end or len(raw) < HEAD:
        raise Refusal(offset, "a record is cut short", missing)
    magic, type_, codec, region, body_bytes, aux, number, body_check, prior, head_check = struct.unpack("<4sBBHIIQQQQ", raw)
    if magic != RECORD_MAGIC:
        raise Refusal(offset, "no record here: wrong magic")
    if xxh3(raw[:40], offset) != head_check:
        raise Refusal(offset + 40, "head_check does not fit")
    if type_ not in TYPE_NAMES and type_ < ANCILLARY:
        raise Refusal(offset + 4, f"record type {type_} is not legal")
    if type_ == PARENT and not header.is_child:
        raise Refusal(offset + 4, "PARENT record without the feature parent")
    if codec != 0 and type_ != BLOCK:
        raise Refusal(offset + 5, "codec of the head is not zero")
    if region != 0 and type_ not in (REGION, BLOCK, NODE, CLOSE):
        raise Refusal(offset + 6, "region of the head is not zero")
    if aux != 0 and type_ not in (BLOCK, NODE):
        raise Refusal(offset + 12, "aux of the head is not zero")
    if number != 0 and type_ not in (BLOCK, NODE, CLOSE):
        raise Refusal(offset + 16, "number of the head is not zero")
    if body_bytes > (MAX_CATALOG_BODY if type_ == CATALOG else MAX_BODY):
        raise Refusal(offset + 8, f"body of {body_bytes} bytes is over the limit", LIMIT)
    if offset + HEAD + body_bytes > end:
        raise Refusal(offset + 8, "a record is cut short", missing)
    body = file.at(offset + HEAD, body_bytes)
    if len(body) < body_bytes:
        raise Refusal(offset + HEAD + len(body), "a record is cut short", missing)
    if xxh3(body, 0) != body_check:
        raise Refusal(offset + 24, "body_check does not fit")
    return Record(offset, type_, codec, region, aux, number, prior, head_check, body)


class Cursor:
    """Takes fields from a body; a body that is too short is refused."""

    def __init__(self, body: bytes, origin: int) -> None:
        self.body, self.position, self.origin = body, 0, origin

    @property
    def offset(self) -> int:
        return self.origin + self.position

    def take(self, length: int) -> bytes:
        part = self.body[self.position:self.position + length]
        if len(part) < length:
            raise Refusal(self.offset, "the body is too short for what it says it holds")
        self.position += length
        return part

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def end(self) -> None:
        if self.position != len(self.body):
            raise Refusal(self.offset, "bytes are left over at the end of the body")


# ---------------------------------------------------------------------------------------------------------------------
# REGION and CLOSE: SPEC 6, 9

@dataclass
class Region:
    body: bytes
    kind: int
    guest_page_log2: int
    announced: int
    name: str
    placements: list[tuple[int, int, int]]
    at: int
    size: int = 0
    close: bytes = b""
    root_offset: int = 0
    root_bytes: int = 0
    root_check: int = 0
    block_records: int = 0
    digest: bytes = b""

    @property
    def pages(self) -> int:
        return -(-self.size // PAGE)

    def blocks(self, header: Header) -> int:
        return -(-self.size // header.block_bytes)

    def pages_of(self, block: int, header: Header) -> int:
        return min(1 << header.pages_log2, self.pages - (block << header.pages_log2))


def parse_region(cursor: Cursor) -> Region:
    at = cursor.offset
    start = cursor.position
    kind, guest_page_log2, name_bytes, placement_count, announced = cursor.unpack("<BBHIQ")
    if kind not in KIND_NAMES:
        raise Refusal(at, f"region kind {kind} is not legal")
    if not 12 <= guest_page_log2 <= (30 if kind == 1 else 12):
        raise Refusal(at + 1, f"guest_page_log2 {guest_page_log2} is not legal for a {KIND_NAMES[kind]}")
    if name_bytes == 0:
        raise Refusal(at + 2, "a region without a name")
    if name_bytes > MAX_NAME:
        raise Refusal(at + 2, f"name of {name_bytes} bytes is over the limit", LIMIT)
    if kind == 2 and placement_count:
        raise Refusal(at + 4, "a state with placements")
    if placement_count > MAX_PLACEMENTS:
        raise Refusal(at + 4, f"{placement_count} placements are over the limit", LIMIT)
    if announced != UNKNOWN and announced > MAX_REGION:
        raise Refusal(at + 8, f"region of {announced} bytes is over the limit", LIMIT)
    raw_name = cursor.take(name_bytes)
    if b"\0" in raw_name:
        raise Refusal(at + 16, "name with a zero byte")
    try:
        name = raw_name.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Refusal(at + 16, "name is not UTF-8") from None
    placements: list[tuple[int, int, int]] = []
    for _ in range(placement_count):
        here = cursor.offset
        address, offset, length = cursor.unpack("<QQQ")
        if length == 0:
            raise Refusal(here + 16, "placement of length 0")
        if address + length > 1 << 64:
            raise Refusal(here, "placement ends past the guest's address space")
        if offset + length > (MAX_REGION if announced == UNKNOWN else announced):
            raise Refusal(here + 8, "placement ends past the region's end")
        if placements and offset < placements[-1][1] + placements[-1][2]:
            raise Refusal(here + 8, "placements overlap or are not in ascending order")
        placements.append((address, offset, length))
    return Region(cursor.body[start:cursor.position], kind, guest_page_log2, announced, name, placements, at)


def check_name(region: Region, earlier: list[Region]) -> None:
    if any(e.kind == region.kind and e.name == region.name for e in earlier):
        raise Refusal(region.at + 16, "name is that of an earlier region of the same kind")


def set_size(region: Region, size: int, at: int) -> None:
    if size > MAX_REGION:
        raise Refusal(at, f"region of {size} bytes is over the limit", LIMIT)
    if region.announced not in (UNKNOWN, size):
        raise Refusal(at, "size is not the one announced")
    if region.placements and sum(region.placements[-1][1:]) > size:
        raise Refusal(at, "placement ends past the region's end")
    region.size = size


def set_close(region: Region, body: bytes, at: int, header: Header) -> None:
    if len(body) != CLOSE_BODY:
        raise Refusal(at, "body of CLOSE is not 60 bytes")
    region.close = body
    region.root_offset, region.root_bytes, region.root_check, region.block_records, region.digest = struct.unpack("<QIQQ32s", body)
    if region.block_records > region.blocks(header):
        raise Refusal(at + 20, "more block records than blocks")
    root = (region.root_offset, region.root_bytes, region.root_check)
    if region.block_records == 0 and root != (0, 0, 0):
        raise Refusal(at, "a root without block records")
    if region.block_records != 0 and (region.root_offset == 0 or region.root_bytes == 0):
        raise Refusal(at, "block records without a root")


def root_level(blocks: int) -> int:
    level = 0
    while 256 ** (level + 1) < blocks:
        level += 1
    return level


def region_digest(region: Region, tree: bytes) -> bytes:
    return blake3(region.body[:8] + struct.pack("<Q", region.size) + region.body[16:] + tree)


# ---------------------------------------------------------------------------------------------------------------------
# PARENT: SPEC 12

@dataclass(frozen=True)
class Parent:
    digest: bytes
    hint: bytes


def parse_parent(cursor: Cursor) -> Parent:
    at = cursor.offset
    digest, hint_bytes = cursor.unpack("<32sH")
    if hint_bytes > MAX_HINT:
        raise Refusal(at + 32, f"hint of {hint_bytes} bytes is over the limit", LIMIT)
    hint = cursor.take(hint_bytes)
    if b"/" in hint or b"\0" in hint or hint in (b".", b".."):
        raise Refusal(at + 34, "hint is not a file name without a directory")
    cursor.end()
    return Parent(digest, hint)


def short_page(page: bytes, number: int, size: int) -> bytes:
    """What of page `number` lies in a region of `size` bytes, filled up with zero bytes."""
    inside = max(size - number * PAGE, 0)
    return page if inside >= PAGE else page[:inside].ljust(PAGE, b"\0")


class Supplied:
    """The one file that was supplied for a child's parent: its content, as the child sees it."""

    def __init__(self, seeker: Seeker) -> None:
        self.seeker = seeker

    def _within(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Refusal as refusal:
            raise Refusal(refusal.offset, f"in the parent {self.seeker.file.name!r}: {refusal.cause}", refusal.code) from None

    def counterpart(self, region: Region) -> int | None:
        for i, other in enumerate(self.seeker.catalog.regions):
            if (other.kind, other.name) == (region.kind, region.name):
                return i
        return None

    def place(self, region: Region, number: int) -> bytes:
        """The parent's page at this place; `number` may lie past any end."""
        other = self.counterpart(region)
        if other is None or number >= self.seeker.catalog.regions[other].pages:
            return ZERO_PAGE
        page = self._within(lambda: self.seeker.page(other, number))
        return bytes(page if region.announced == UNKNOWN else short_page(page, number, region.announced))

    def named(self, region: int, number: int, at: int) -> bytes:
        """A page by the parent's own numbers."""
        regions = self.seeker.catalog.regions
        if region >= len(regions) or number >= regions[region].pages:
            raise Refusal(at, "copy of a page that the parent does not have")
        return bytes(self._within(lambda: self.seeker.page(region, number)))

    def nonzero(self, region: Region, pages: int) -> set[int]:
        """All pages below `pages` that may be other than zero in the region's counterpart."""
        other = self.counterpart(region)
        return set() if other is None else {n for n in self._within(lambda: self.seeker.nonzero(other)) if n < pages}


def find_parent(parent: Parent, depth: int, at: int, supplied: list[Seeker]) -> Supplied:
    """The supplied file that is the parent of a child of this depth, with its own parents."""
    fitting = [s for s in supplied if s.catalog.digest == parent.digest]
    if not fitting:
        raise Refusal(at, f"no parent supplied has the digest {parent.digest.hex()}", MISMATCH)
    lower = [s for s in fitting if s.header.parent_depth < depth]
    if not lower:
        raise Refusal(at, f"the parent's depth {fitting[0].header.parent_depth} is not less than {depth}", MISMATCH)
    found = Supplied(lower[0])
    found._within(lambda: lower[0].attach(supplied))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# BLOCK: SPEC 7

def zstd_frame(payload: bytes, at: int, length: int) -> None:
    """RFC 8878, 3.1.1: one frame with content size `length`, without checksum and dictionary id, that ends where the payload ends."""
    if payload[:4] != b"\x28\xb5\x2f\xfd" or len(payload) < 6:
        raise Refusal(at, "payload is not a zstd frame")
    descriptor = payload[4]
    single, size_flag = descriptor >> 5 & 1, descriptor >> 6
    if descriptor & 8:
        raise Refusal(at + 4, "zstd frame with a reserved bit set")
    if descriptor & 4:
        raise Refusal(at + 4, "zstd frame with a checksum")
    if descriptor & 3:
        raise Refusal(at + 4, "zstd frame with a dictionary id")
    if size_flag == 0 and not single:
        raise Refusal(at + 4, "zstd frame without content size")
    position = 5 if single else 6
    size_bytes = 1 << size_flag
    field_ = payload[position:position + size_bytes]
    content = int.from_bytes(field_, "little") + (256 if size_bytes == 2 else 0)
    if len(field_) < size_bytes or content != length:
        raise Refusal(at + position, "content size of the zstd frame is not that of the payload")
    position += size_bytes
    while True:
        if position + 3 > len(payload):
            raise Refusal(at + position, "zstd frame is cut short")
        head = int.from_bytes(payload[position:position + 3], "little")
        last, kind, size = head & 1, head >> 1 & 3, head >> 3
        if kind == 3:
            raise Refusal(at + position, "zstd block of a reserved type")
        position += 3 + (1 if kind == 1 else size)
        if position > len(payload):
            raise Refusal(at + len(payload), "zstd frame is cut short")
        if last:
            break
    if position != len(payload):
        raise Refusal(at + position, "bytes after the zstd frame")


def decode_payload(codec: int, payload: bytes, length: int, at: int, dictionary: Callable[[], bytes | None]) -> bytes | None:
    """None where the dictionary is not known."""
    if codec == STORE:
        if len(payload) != length:
            raise Refusal(at, f"stored payload of {len(payload)} bytes instead of {length}")
        return payload
    if codec not in (LZ4, ZSTD, ZSTD_OVER_PARENT):
        raise Refusal(at, f"codec {codec} is not legal")
    if length == 0:
        raise Refusal(at, "codec without a payload")
    if len(payload) >= length:
        raise Refusal(at, "compressed payload is not shorter than what it holds")
    try:
        if codec == LZ4:
            decoded = lz4.block.decompress(payload, uncompressed_size=length)
        else:
            zstd_frame(payload, at, length)
            raw_content = None
            if codec == ZSTD_OVER_PARENT:
                content = dictionary()
                if content is None:
                    return None
                raw_content = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            decoded = zstandard.ZstdDecompressor(dict_data=raw_content).decompress(payload, max_output_size=length)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError):
        raise Refusal(at, "payload cannot be decoded") from None
    if len(decoded) != length:
        raise Refusal(at, f"payload decodes to {len(decoded)} bytes instead of {length}")
    return bytes(decoded)


@dataclass
class Block:
    """A decoded BLOCK record: its own pages, and where its copies come from."""
    at: int
    region: int
    number: int
    kinds: list[int]
    raw: dict[int, bytes | None] = field(default_factory=dict)
    xor: dict[int, bytes] = field(default_factory=dict)
    copies: dict[int, tuple[int, int]] = field(default_factory=dict)
    parent_copies: dict[int, tuple[int, int]] = field(default_factory=dict)


def parse_named(cursor: Cursor, first: int, count: int) -> list[int]:
    """The page numbers in `named`, of a block of `count` pages from page `first` on."""
    at = cursor.offset
    total = cursor.unpack("<H")[0]
    if total > MAX_NAMED:
        raise Refusal(at, f"a dictionary of {total} named pages is over the limit", LIMIT)
    numbers: list[int] = []
    for _ in range(total):
        at = cursor.offset
        number = int.from_bytes(cursor.take(5), "little")
        if numbers and number <= numbers[-1]:
            raise Refusal(at, "named pages are not strictly ascending")
        if first <= number < first + count:
            raise Refusal(at, "a named page is one of the block itself")
        numbers.append(number)
    return numbers


def parse_block(record: Record, header: Header, region: Region, parent: Supplied | None) -> Block:
    """All that SPEC 7 asks of one record by itself. A child's pages of codec 3 are None without its parent."""
    at, count = record.offset, record.aux
    if not 1 <= count <= 1 << header.pages_log2:
        raise Refusal(at + 12, f"block of {count} pages")
    cursor = Cursor(record.body, at + HEAD)
    packed = cursor.take((count + 1) // 2)
    kinds = [packed[i // 2] >> 4 * (i % 2) & 15 for i in range(count)]
    if count % 2 and packed[-1] >> 4:
        raise Refusal(cursor.offset - 1, "unused half of the page map is not zero")
    block = Block(at, record.region, record.number, kinds)
    for i, kind in enumerate(kinds):
        if kind in (SAME, XOR) and not header.is_child:
            raise Refusal(at + HEAD + i // 2, f"page kind {kind} without a parent")
        if kind > COPY:
            raise Refusal(at + HEAD + i // 2, f"page kind {kind} is not legal")
    if not any(kinds) and not header.is_child:
        raise Refusal(at + HEAD, "a block of zero pages has a record")
    if all(kind == SAME for kind in kinds):
        raise Refusal(at + HEAD, "a block that is the same as the parent's has a record")
    foreign: set[tuple[int, int]] = set()
    first = record.number << header.pages_log2
    for i in (i for i in range(count) if kinds[i] == COPY):
        here = cursor.offset
        value = cursor.unpack("<Q")[0]
        page, named = value & (1 << 40) - 1, value >> 40 & 0xFFFF
        if value >> 63 and not header.is_child:
            raise Refusal(here, "copy of a page of the parent without a parent")
        if value >> 56 & 127:
            raise Refusal(here, "reserved bits of a copy are not zero")
        if value >> 63:
            block.parent_copies[i] = (named, page)
            continue
        if (named, page) >= (record.region, first + i):
            raise Refusal(here, "copy of a page that is not before it")
        source = (named, page >> header.pages_log2)
        if source == (record.region, record.number):
            if kinds[page - first] != RAW:
                raise Refusal(here, "copy of a page that is not raw")
        else:
            foreign.add(source)
        block.copies[i] = (named, page)
    if len(foreign) > 1:
        raise Refusal(at + HEAD, "copies from more than one other block")
    in_dictionary: list[int] = []
    if record.codec == ZSTD_OVER_PARENT:
        if not header.is_child:
            raise Refusal(at + 5, "codec 3 without a parent")
        if XOR in kinds:
            raise Refusal(at + 5, "codec 3 with a page of kind 3")
        in_dictionary = [*parse_named(cursor, first, count), *range(first, first + count)]

    def dictionary() -> bytes | None:
        return None if parent is None else b"".join(parent.place(region, number) for number in in_dictionary)

    stored = [i for i in range(count) if kinds[i] in (RAW, XOR)]
    payload_at = cursor.offset
    payload = cursor.take(len(record.body) - cursor.position)
    decoded = decode_payload(record.codec, payload, PAGE * len(stored), payload_at, dictionary)
    for position, i in enumerate(stored):
        page_bytes = None if decoded is None else decoded[position * PAGE:(position + 1) * PAGE]
        if kinds[i] == RAW:
            block.raw[i] = page_bytes
        else:
            assert page_bytes is not None
            block.xor[i] = page_bytes
    return block


def xor_pages(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(PAGE, "little")


Pages = list[bytes | None]


def resolve_page(block: Block, i: int, header: Header, region: Region, parent: Supplied | None,
                 find: Callable[[int, int], Block | None]) -> bytes | None:
    """Page i of a block; `find` answers other blocks. None: not known without the parent."""
    kind = block.kinds[i]
    if kind == ZERO_KIND:
        return ZERO_PAGE
    if kind == RAW:
        return block.raw[i]
    if i in block.copies:
        named, page = block.copies[i]
        number, index = page >> header.pages_log2, page & (1 << header.pages_log2) - 1
        same = (named, number) == (block.region, block.number)
        source = block if same else find(named, number)
        if source is None or index not in source.raw:
            raise Refusal(block.at + HEAD, "copy of a page that is not raw")
        return source.raw[index]
    if parent is None:
        return None
    if i in block.parent_copies:
        return parent.named(*block.parent_copies[i], block.at + HEAD)
    place = parent.place(region, (block.number << header.pages_log2) + i)
    return place if kind == SAME else xor_pages(block.xor[i], place)


def resolve(block: Block, header: Header, region: Region, parent: Supplied | None,
            find: Callable[[int, int], Block | None]) -> Pages:
    return [resolve_page(block, i, header, region, parent, find) for i in range(len(block.kinds))]


def check_filling(block: Block, pages: Pages, size: int, header: Header) -> None:
    """SPEC 2: a short last page is filled up with zero bytes."""
    rest = size % PAGE
    last = -(-size // PAGE) - 1
    index = last - (block.number << header.pages_log2)
    page = pages[index] if rest and 0 <= index < len(pages) else None
    if page is not None and any(page[rest:]):
        raise Refusal(block.at, "a short last page is not filled up with zero bytes")


# ---------------------------------------------------------------------------------------------------------------------
# NODE: SPEC 8

@dataclass(frozen=True)
class Entry:
    offset: int
    record_bytes: int
    head_check: int
    digest: bytes


def parse_node(record: Record) -> dict[int, Entry]:
    cursor = Cursor(record.body, record.offset + HEAD)
    bits = int.from_bytes(cursor.take(32), "little")
    if bits == 0:
        raise Refusal(record.offset + HEAD, "a node that points to nothing")
    entries: dict[int, Entry] = {}
    for i in range(256):
        if bits >> i & 1:
            here = cursor.offset
            entry = Entry(*cursor.unpack("<QIQ32s"))
            if entry.offset >= record.offset:
                raise Refusal(here, "a node points forwards or to itself")
            entries[i] = entry
    cursor.end()
    return entries


# ---------------------------------------------------------------------------------------------------------------------
# META, CATALOG: SPEC 10

def parse_pairs(cursor: Cursor, end: int) -> dict[str, str]:
    pairs: dict[str, str] = {}
    previous = b""
    while cursor.position < end:
        at = cursor.offset
        key_bytes, value_bytes = cursor.unpack("<HI")
        if key_bytes == 0:
            raise Refusal(at, "metadata with an empty key")
        if key_bytes > MAX_KEY:
            raise Refusal(at, f"metadata key of {key_bytes} bytes is over the limit", LIMIT)
        if value_bytes > MAX_VALUE:
            raise Refusal(at + 2, f"metadata value of {value_bytes} bytes is over the limit", LIMIT)
        if cursor.position + key_bytes + value_bytes > end:
            raise Refusal(at, "metadata is cut short")
        key, value = cursor.take(key_bytes), cursor.take(value_bytes)
        if not re.fullmatch(rb"[a-z0-9._/-]+", key):
            raise Refusal(at + 6, "metadata key with a byte that is not legal")
        if key <= previous:
            raise Refusal(at + 6, "metadata keys are not strictly ascending")
        if b"\0" in value:
            raise Refusal(at + 6 + key_bytes, "metadata value with a zero byte")
        try:
            pairs[key.decode()] = value.decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Refusal(at + 6 + key_bytes, "metadata value is not UTF-8") from None
        previous = key
    return pairs


def pairs_bytes(pairs: dict[str, str]) -> bytes:
    out = b""
    for key, value in sorted((k.encode(), v.encode()) for k, v in pairs.items()):
        out += struct.pack("<HI", len(key), len(value)) + key + value
    return out


Ranges = list[tuple[int, int, int]]


def tail_bytes(tail: bytes) -> int | None:
    """The length of the WORKING_SET body that ends with these 16 bytes; None where none does."""
    magic, body_bytes, zero = struct.unpack("<8sII", tail)
    count, rest = divmod(body_bytes - 4 - TAIL, RANGE)
    return body_bytes if magic == WORKING_SET_MAGIC and zero == 0 and rest == 0 and 1 <= count <= MAX_RANGES else None


def parse_working_set(body: bytes, at: int, regions: list[Region]) -> Ranges:
    cursor = Cursor(body, at)
    count = cursor.unpack("<I")[0]
    if count == 0:
        raise Refusal(at, "a working set without ranges")
    if count > MAX_RANGES:
        raise Refusal(at, f"a working set of {count} ranges is over the limit", LIMIT)
    ranges: Ranges = []
    for _ in range(count):
        here = cursor.offset
        region, first, pages = cursor.unpack("<H")[0], int.from_bytes(cursor.take(5), "little"), int.from_bytes(cursor.take(5), "little")
        if region >= len(regions):
            raise Refusal(here, "working set of a region that is not there")
        if regions[region].kind != 1:
            raise Refusal(here, "working set of a state")
        if pages == 0:
            raise Refusal(here + 7, "a range without pages in the working set")
        if first + pages > regions[region].pages:
            raise Refusal(here + 2, "working set past a region's end")
        ranges.append((region, first, pages))
    here = cursor.offset
    if tail_bytes(cursor.take(TAIL)) != len(body):
        raise Refusal(here, "the working set's tail does not fit")
    cursor.end()
    ordered = sorted(ranges)
    if any(a[0] == b[0] and a[1] + a[2] > b[1] for a, b in zip(ordered, ordered[1:])):
        raise Refusal(at, "a page in two ranges of the working set")
    return ranges


@dataclass
class Catalog:
    regions: list[Region]
    digest: bytes
    metadata: dict[str, str]
    parent: Parent | None
    parent_at: int


def parse_catalog(record: Record, header: Header) -> Catalog:
    cursor = Cursor(record.body, record.offset + HEAD)
    at = cursor.offset
    count, meta_bytes, digest = cursor.unpack("<II32s")
    if count > MAX_REGIONS:
        raise Refusal(at, f"{count} regions are over the limit", LIMIT)
    if meta_bytes > MAX_META:
        raise Refusal(at + 4, f"metadata of {meta_bytes} bytes is over the limit", LIMIT)
    regions: list[Region] = []
    for _ in range(count):
        region = parse_region(cursor)
        check_name(region, regions)
        here = cursor.offset
        set_size(region, cursor.unpack("<Q")[0], here)
        here = cursor.offset
        set_close(region, cursor.take(CLOSE_BODY), here, header)
        regions.append(region)
    end = cursor.position + meta_bytes
    if end > len(record.body) or (end != len(record.body) and not header.is_child):
        raise Refusal(at + 4, "meta_bytes does not end where the catalog ends")
    metadata = parse_pairs(cursor, end)
    parent_at = cursor.offset
    parent = parse_parent(cursor) if header.is_child else None
    cursor.end()
    return Catalog(regions, digest, metadata, parent, parent_at)


# ---------------------------------------------------------------------------------------------------------------------
# What both ways of reading give

class Content:
    """Hashes of a region's pages, given in ascending order; what is left out is zero."""

    def __init__(self) -> None:
        self.sparse = hashlib.sha256()
        self.plain: Any = hashlib.sha256()
        self.position = 0
        self.data_pages: list[list[Any]] = []

    def _zeros(self, end: int) -> None:
        if end > MAX_PLAIN_HASH:
            self.plain = None
        while self.plain is not None and self.position < end:
            step = min(end - self.position, 1 << 20)
            self.plain.update(bytes(step))
            self.position += step

    def page(self, number: int, page: bytes, size: int) -> None:
        """Page `number` of a region of `size` bytes."""
        if page == ZERO_PAGE:
            return
        if len(self.data_pages) < 65536:
            self.data_pages.append([number, hashlib.sha256(page).hexdigest()])
        self.sparse.update(struct.pack("<Q", number) + page)
        self._zeros(number * PAGE)
        if self.plain is not None:
            self.plain.update(page[:size - number * PAGE])
            self.position = min((number + 1) * PAGE, size)

    def finish(self, size: int) -> dict[str, Any]:
        self._zeros(size)
        return {"sha256": self.plain.hexdigest() if self.plain is not None else None, "sparse": self.sparse.hexdigest(),
                "pages": self.data_pages}


def deliver(content: Content, block: Block, pages: Pages, header: Header, size: int) -> None:
    for i, page in enumerate(pages):
        assert page is not None
        content.page((block.number << header.pages_log2) + i, page, size)


def child_pages(region: Region, own: dict[int, bytes], parent: Supplied, at: int) -> Iterator[tuple[int, bytes]]:
    """All pages of a child's region that are not zero, ascending: its own, and the others from the parent."""
    for number in sorted(own.keys() | parent.nonzero(region, region.pages)):
        page = own[number] if number in own else parent.place(region, number)
        if page != short_page(page, number, region.size):
            raise Refusal(at, "a short last page that is the same as the parent's is not filled up with zero bytes")
        if page != ZERO_PAGE:
            yield number, page


@dataclass
class Result:
    header: Header
    regions: list[Region]
    contents: list[dict[str, Any]]
    metadata: dict[str, str]
    digest: bytes
    parent: Parent | None
    records: int = 0
    types: dict[str, int] = field(default_factory=dict)
    working_set: Ranges = field(default_factory=list)


# ---------------------------------------------------------------------------------------------------------------------
# By seeking: SPEC 14 (1)…(4)

class Seeker:
    def __init__(self, file: File) -> None:
        self.file = file
        header_refusal: Refusal | None = None
        try:
            self.header = read_header(file)
        except Refusal as refusal:
            if refusal.code == UNSUPPORTED or refusal.offset == 0:
                raise
            header_refusal = refusal
        trailer = find_trailer(file, file.size - TRAILER)
        if trailer is None:
            raise Refusal(max(file.size - TRAILER, 0), "no valid trailer", INCOMPLETE)
        if header_refusal is not None:
            raise header_refusal
        check_trailer(trailer, file, self.header)
        self.trailer = trailer
        record = read_record(file, self.header, trailer.catalog_offset, trailer.offset, DAMAGED)
        if (record.type, record.head_check, record.record_bytes) != (CATALOG, trailer.catalog_check, trailer.catalog_bytes):
            raise Refusal(trailer.catalog_offset, "not the catalog that the trailer names")
        self.catalog = parse_catalog(record, self.header)
        self.parent: Supplied | None = None
        self._blocks: dict[tuple[int, int], Block | None] = {}
        self._nonzero: dict[int, set[int]] = {}

    def attach(self, supplied: list[Seeker]) -> None:
        """Finds this file's parent, where it is a child. Depths fall, so this ends."""
        if self.parent is None and self.catalog.parent is not None:
            self.parent = find_parent(self.catalog.parent, self.header.parent_depth, self.catalog.parent_at, supplied)

    def child(self, above: int, entry: Entry, type_: int, region: int, aux: int | None, number: int) -> Record:
        """The record an entry names; it must lie before `above`."""
        if entry.offset < self.header.header_bytes or entry.offset + entry.record_bytes > above:
            raise Refusal(above, "an index entry points to a place where no record can be")
        record = read_record(self.file, self.header, entry.offset, above, DAMAGED)
        if (record.record_bytes, record.head_check) != (entry.record_bytes, entry.head_check):
            raise Refusal(entry.offset, "not the record that the index names")
        if (record.type, record.region, record.number) != (type_, region, number):
            raise Refusal(entry.offset, "the index points to a record of another type or place")
        if aux is not None and record.aux != aux:
            raise Refusal(entry.offset + 12, "block of a wrong number of pages" if type_ == BLOCK else "node of a wrong level")
        return record

    def node(self, above: int, entry: Entry, region: int, level: int, number: int) -> tuple[Record, dict[int, Entry]]:
        record = self.child(above, entry, NODE, region, level, number)
        entries = parse_node(record)
        blocks = self.catalog.regions[region].blocks(self.header)
        if ((number << 8) + max(entries)) << 8 * level >= blocks:
            raise Refusal(record.offset + HEAD, "a node points past the region's end")
        return record, entries

    def root(self, index: int) -> tuple[Entry, int] | None:
        region = self.catalog.regions[index]
        if region.root_offset == 0:
            return None
        return Entry(region.root_offset, region.root_bytes, region.root_check, b""), root_level(region.blocks(self.header))

    def load(self, above: int, entry: Entry, region: int, number: int) -> Block:
        pages = self.catalog.regions[region].pages_of(number, self.header)
        record = self.child(above, entry, BLOCK, region, pages, number)
        return parse_block(record, self.header, self.catalog.regions[region], self.parent)

    def find(self, region: int, number: int) -> Block | None:
        """One block, from the root down."""
        if region >= len(self.catalog.regions) or number >= self.catalog.regions[region].blocks(self.header):
            return None
        key = (region, number)
        if key not in self._blocks:
            if len(self._blocks) > 64:
                self._blocks.clear()
            self._blocks[key] = self._find(region, number)
        return self._blocks[key]

    def _find(self, region: int, number: int) -> Block | None:
        root = self.root(region)
        if root is None:
            return None
        entry, level = root
        above = self.trailer.catalog_offset
        while True:
            record, entries = self.node(above, entry, region, level, number >> 8 * (level + 1))
            below = entries.get(number >> 8 * level & 255)
            if below is None:
                return None
            entry, above = below, record.offset
            if level == 0:
                return self.load(above, entry, region, number)
            level -= 1

    def blocks(self, region: int) -> Iterator[Block]:
        """All blocks of a region that have a record, ascending."""
        root = self.root(region)
        if root is not None:
            yield from self._descend(self.trailer.catalog_offset, root[0], region, root[1], 0)

    def _descend(self, above: int, entry: Entry, region: int, level: int, number: int) -> Iterator[Block]:
        record, entries = self.node(above, entry, region, level, number)
        for i, below in entries.items():
            child = (number << 8) + i
            if level == 0:
                yield self.load(record.offset, below, region, child)
            else:
                yield from self._descend(record.offset, below, region, level - 1, child)

    def working_set(self) -> Ranges:
        """Found backwards from the catalog: SPEC 10."""
        at = self.trailer.catalog_offset - SEAL_BYTES
        seal = read_record(self.file, self.header, at, self.trailer.catalog_offset, DAMAGED)
        if (seal.type, seal.record_bytes) != (SEAL, SEAL_BYTES):
            raise Refusal(at, "no SEAL before the catalog")
        body_bytes = tail_bytes(self.file.at(at - TAIL, TAIL))
        start = 0 if body_bytes is None else at - HEAD - body_bytes
        if start < self.header.header_bytes:
            return []
        head = self.file.at(start, HEAD)
        if head[:5] != RECORD_MAGIC + bytes([WORKING_SET]) or head[40:] != struct.pack("<Q", seal.prior) or xxh3(head[:40], start) != seal.prior:
            return []
        record = read_record(self.file, self.header, start, at, DAMAGED)
        return parse_working_set(record.body, start + HEAD, self.catalog.regions)

    def need_parent(self) -> None:
        if self.header.is_child and self.parent is None:
            raise Refusal(self.catalog.parent_at, "a child cannot be read without its parent", MISMATCH)

    def page(self, index: int, number: int) -> bytes:
        """One page that the region has."""
        self.need_parent()
        region = self.catalog.regions[index]
        block = self.find(index, number >> self.header.pages_log2)
        if block is None:
            page = ZERO_PAGE if self.parent is None else self.parent.place(region, number)
        else:
            i = number & (1 << self.header.pages_log2) - 1
            found = resolve_page(block, i, self.header, region, self.parent, self.find)
            assert found is not None
            page = found
        if page != short_page(page, number, region.size):
            raise Refusal(region.at if block is None else block.at, "a short last page is not filled up with zero bytes")
        return page

    def nonzero(self, index: int) -> set[int]:
        """All pages of a region that may be other than zero."""
        if index not in self._nonzero:
            self.need_parent()
            region = self.catalog.regions[index]
            found = set() if self.parent is None else self.parent.nonzero(region, region.pages)
            for block in self.blocks(index):
                found |= {(block.number << self.header.pages_log2) + i for i, kind in enumerate(block.kinds) if kind not in (ZERO_KIND, SAME)}
            self._nonzero[index] = found
        return self._nonzero[index]

    def read_all(self, sink: Callable[[int, int, bytes], None] | None = None) -> Result:
        self.need_parent()
        contents = []
        for index, region in enumerate(self.catalog.regions):
            content = Content()
            own: dict[int, bytes] = {}
            for block in self.blocks(index):
                pages = resolve(block, self.header, region, self.parent, self.find)
                check_filling(block, pages, region.size, self.header)
                first = block.number << self.header.pages_log2
                for i, page in enumerate(pages):
                    assert page is not None
                    if self.parent is not None:
                        own[first + i] = page
                    elif sink is not None:
                        sink(index, (first + i) * PAGE, page)
                if self.parent is None:
                    deliver(content, block, pages, self.header, region.size)
            if self.parent is not None:
                for number, page in child_pages(region, own, self.parent, region.at):
                    content.page(number, page, region.size)
                    if sink is not None:
                        sink(index, number * PAGE, page)
            contents.append(content.finish(region.size))
        return Result(self.header, self.catalog.regions, contents, self.catalog.metadata, self.catalog.digest, self.catalog.parent)


# ---------------------------------------------------------------------------------------------------------------------
# From front to back: SPEC 3, 14 "Checking"

@dataclass
class Pending:
    """A node whose record has not come yet."""
    number: int
    entries: dict[int, Entry] = field(default_factory=dict)


class Walker:
    """A child is walked with the files supplied as its ancestors, or as far as it goes with None."""

    def __init__(self, file: File, digests: bool, supplied: list[Seeker] | None) -> None:
        self.file, self.supplied = file, supplied
        self.header = read_header(file)
        self.partial = self.header.is_child and supplied is None
        self.digests, self.seal_digest = digests and not self.partial, digests
        self.fold_now = self.digests and not self.header.is_child  # else at CLOSE, with what the parent has
        self.parent_record: Parent | None = None
        self.parent_body = b""
        self.parent: Supplied | None = None
        self.regions: list[Region] = []
        self.contents: list[dict[str, Any]] = []
        self.metadata: dict[str, str] = {}
        self.meta_total = 0
        self.working_set: Ranges | None = None
        self.types: dict[str, int] = {}
        self.records = 0
        self.trailer_found = False
        self.block_ordinal = 0
        self.known: dict[tuple[int, int], tuple[int, int]] = {}  # block -> its record's offset, its ordinal
        self.cache: dict[tuple[int, int], Block] = {}
        self.open: Region | None = None
        self.digest: bytes | None = None
        self.reset()

    def reset(self) -> None:
        self.pending: list[Pending | None] = [None] * (MAX_LEVEL + 3)
        self.closed: list[int] = [-1] * (MAX_LEVEL + 3)
        self.last_block = -1
        self.last_pages = 0
        self.last_parsed: tuple[Block, Pages] | None = None
        self.region_blocks = 0
        self.own: dict[int, bytes] = {}
        self.nodes: list[tuple[Record, dict[int, Entry]]] = []
        self.content = Content()

    @property
    def region_number(self) -> int:
        return len(self.regions)

    def run(self) -> Result:
        position, prior = self.header.header_bytes, self.header.check
        while True:
            if position == self.file.size:
                raise Refusal(position, "the file ends before its trailer", INCOMPLETE)
            record = read_record(self.file, self.header, position, self.file.size, INCOMPLETE)
            if record.prior != prior:
                raise Refusal(position + 32, "prior does not fit: records are missing or exchanged")
            self.records += 1
            name = TYPE_NAMES.get(record.type, "ANCILLARY")
            self.types[name] = self.types.get(name, 0) + 1
            if self.digest is not None and record.type != CATALOG:
                raise Refusal(position, "a record between SEAL and CATALOG")
            if self.working_set is not None and record.type not in (SEAL, CATALOG):
                raise Refusal(position, "a record between WORKING_SET and SEAL")
            if self.header.is_child and (record.type == PARENT) != (self.records == 1):
                raise Refusal(position, "PARENT is not the first record" if self.records == 1 else "a second PARENT record")
            if record.type in TYPE_NAMES:
                getattr(self, f"on_{name.lower()}")(record)
            position += record.record_bytes
            prior = record.head_check
            if record.type == CATALOG:
                break
        self.finish(position, record)
        assert self.digest is not None
        return Result(self.header, self.regions, self.contents, self.metadata, self.digest, self.parent_record, self.records,
                      self.types, self.working_set or [])

    def on_parent(self, record: Record) -> None:
        at = record.offset + HEAD
        self.parent_record, self.parent_body = parse_parent(Cursor(record.body, at)), record.body
        if self.supplied is not None:
            self.parent = find_parent(self.parent_record, self.header.parent_depth, at, self.supplied)

    def finish(self, position: int, catalog: Record) -> None:
        trailer = find_trailer(self.file, position)
        if trailer is None:
            raise Refusal(position, "no valid trailer", INCOMPLETE)
        self.trailer_found = True
        if self.file.size != position + TRAILER:
            raise Refusal(position + TRAILER, "bytes after the trailer")
        check_trailer(trailer, self.file, self.header)
        if (trailer.catalog_offset, trailer.catalog_bytes, trailer.catalog_check) != (
                catalog.offset, catalog.record_bytes, catalog.head_check):
            raise Refusal(position + 16, "the trailer names another catalog")
        if trailer.records != self.records:
            raise Refusal(position + 48, f"the trailer counts {trailer.records} records instead of {self.records}")

    # Regions

    def on_region(self, record: Record) -> None:
        at = record.offset
        if self.open is not None:
            raise Refusal(at, "REGION before the region before is closed")
        if record.region != self.region_number:
            raise Refusal(at + 6, f"region number {record.region} instead of {self.region_number}")
        if self.region_number >= MAX_REGIONS:
            raise Refusal(at, "too many regions", LIMIT)
        cursor = Cursor(record.body, at + HEAD)
        region = parse_region(cursor)
        cursor.end()
        check_name(region, self.regions)
        if region.announced != UNKNOWN:
            region.size = region.announced
        self.open = region
        self.reset()

    def belongs(self, record: Record) -> Region:
        if self.open is None:
            raise Refusal(record.offset, f"{TYPE_NAMES[record.type]} outside of a region")
        if record.region != self.region_number:
            raise Refusal(record.offset + 6, f"region number {record.region} instead of {self.region_number}")
        return self.open

    def on_block(self, record: Record) -> None:
        region, at, number, header = self.belongs(record), record.offset, record.number, self.header
        if number <= self.last_block:
            raise Refusal(at + 16, "block numbers are not strictly ascending")
        if number >= MAX_REGION >> header.block_log2:
            raise Refusal(at + 16, "block past the largest region's end")
        whole = 1 << header.pages_log2
        if region.announced != UNKNOWN:
            if number >= region.blocks(header):
                raise Refusal(at + 16, "block past the region's end")
            if record.aux != region.pages_of(number, header):
                raise Refusal(at + 12, "block of a wrong number of pages")
        elif self.last_block >= 0 and self.last_pages != whole:
            raise Refusal(at, "block after a short block")
        for level, waiting in enumerate(self.pending):
            if waiting is not None and waiting.number != number >> 8 * (level + 1):
                raise Refusal(at, "a node is missing before this block")
            if self.closed[level] == number >> 8 * (level + 1):
                raise Refusal(at, "block after its node")
        block = parse_block(record, header, region, self.parent)
        pages = resolve(block, header, region, self.parent, self.find)
        if not header.is_child and all(page == ZERO_PAGE for page in pages):
            raise Refusal(at + HEAD, "a block of zero pages has a record")
        if ZERO_PAGE in block.raw.values() or ZERO_PAGE in block.xor.values():
            raise Refusal(at + HEAD, "a page of kind 2 or 3 is stored all zero")
        if region.announced != UNKNOWN:
            check_filling(block, pages, region.size, header)
        # The last page of a region of unknown size may turn out to be short: deliver one block late.
        self.flush(None)
        self.last_parsed = (block, pages)
        self.known[self.region_number, number] = (at, self.block_ordinal)
        self.remember((self.region_number, number), block)
        self.block_ordinal += 1
        self.region_blocks += 1
        self.last_block, self.last_pages = number, record.aux
        digest = b""
        if self.fold_now:
            digest = fold({i: page_digest(p) for i, p in enumerate(pages) if p is not None and p != ZERO_PAGE}, header.pages_log2, 0)
        self.attach(0, number, Entry(at, record.record_bytes, record.head_check, digest), at)

    def flush(self, size: int | None) -> None:
        if self.last_parsed is not None:
            block, pages = self.last_parsed
            if self.parent is not None:
                first = block.number << self.header.pages_log2
                self.own.update({first + i: page for i, page in enumerate(pages) if page is not None})
            elif not self.partial:
                deliver(self.content, block, pages, self.header, MAX_REGION if size is None else size)
        self.last_parsed = None

    def remember(self, key: tuple[int, int], block: Block) -> None:
        if len(self.cache) >= 64:
            self.cache.pop(next(iter(self.cache)))
        self.cache[key] = block

    def find(self, region: int, number: int) -> Block | None:
        """A block before the present one, within the copy window."""
        key = (region, number)
        if key not in self.known:
            return None
        at, ordinal = self.known[key]
        if self.block_ordinal - ordinal > self.header.copy_window:
            raise Refusal(at, "copy of a page outside the copy window")
        if key not in self.cache:
            record = read_record(self.file, self.header, at, self.file.size, DAMAGED)
            owner = self.open if region == self.region_number else self.regions[region]
            assert owner is not None
            self.remember(key, parse_block(record, self.header, owner, self.parent))
        return self.cache[key]

    def attach(self, level: int, number: int, entry: Entry, at: int) -> None:
        """Child `number` of level `level`'s nodes has a record."""
        waiting = self.pending[level]
        if waiting is None:
            waiting = self.pending[level] = Pending(number >> 8)
        if waiting.number != number >> 8:
            raise Refusal(at, "a node is missing before this record")
        waiting.entries[number & 255] = entry

    def on_node(self, record: Record) -> None:
        region, at, level, number = self.belongs(record), record.offset, record.aux, record.number
        if level > MAX_LEVEL:
            raise Refusal(at + 12, f"node of level {level}")
        if region.announced != UNKNOWN and level > root_level(region.blocks(self.header)):
            raise Refusal(at + 12, "node above the root's level")
        if any(self.pending[:level]):
            raise Refusal(at, "a node is missing before this one")
        waiting = self.pending[level]
        if waiting is None or waiting.number != number:
            raise Refusal(at + 16, "a node at a wrong place or of a wrong number")
        found = parse_node(record)
        if found.keys() != waiting.entries.keys():
            raise Refusal(at + HEAD, "present bits of a node do not fit the records")
        for i, (mine, its) in enumerate(zip(waiting.entries.values(), found.values())):
            here = at + HEAD + 32 + ENTRY * i
            if (mine.offset, mine.record_bytes, mine.head_check) != (its.offset, its.record_bytes, its.head_check):
                raise Refusal(here, "an index entry does not fit its record")
            if self.fold_now and mine.digest != its.digest:
                raise Refusal(here + 20, "a digest in a node does not fit the content")
        self.nodes.append((record, found))
        digest = b""
        if self.fold_now:
            digest = fold({i: e.digest for i, e in found.items()}, 8, self.header.pages_log2 + 8 * level)
        self.pending[level] = None
        self.closed[level] = number
        self.attach(level + 1, number, Entry(at, record.record_bytes, record.head_check, digest), at)

    def on_close(self, record: Record) -> None:
        region, at, header = self.belongs(record), record.offset, self.header
        set_size(region, record.number, at + 16)
        blocks = region.blocks(header)
        if self.last_block >= blocks:
            raise Refusal(at + 16, "block past the region's end")
        if self.last_block >= 0 and self.last_pages != region.pages_of(self.last_block, header):
            raise Refusal(at + 16, "block of a wrong number of pages")
        if self.last_parsed is not None:
            check_filling(*self.last_parsed, region.size, header)
            self.flush(region.size)
        set_close(region, record.body, at + HEAD, header)
        if region.block_records != self.region_blocks:
            raise Refusal(at + HEAD + 20, f"block_records is {region.block_records} instead of {self.region_blocks}")
        tree = zero_digest(TREE_HEIGHT) if self.digests else b""
        if self.region_blocks:
            top = root_level(blocks) + 1
            if any(self.pending[:top]):
                raise Refusal(at, "a node is missing before CLOSE")
            above = self.pending[top]
            if above is None:
                raise Refusal(at, "node above the root's level")
            root = above.entries[0]
            if (region.root_offset, region.root_bytes, region.root_check) != (root.offset, root.record_bytes, root.head_check):
                raise Refusal(at + HEAD, "CLOSE names another root")
            if self.fold_now:
                # Regions near the limit: the root covers more than 2^40 pages, so fold its children instead.
                height = header.pages_log2 + 8 * top
                if height <= TREE_HEIGHT:
                    tree = fold({0: root.digest}, TREE_HEIGHT - height, height)
                else:
                    node = parse_node(read_record(self.file, header, root.offset, at, DAMAGED))
                    tree = fold({i: e.digest for i, e in node.items()}, TREE_HEIGHT - (height - 8), height - 8)
        if self.parent is not None:
            tree = self.close_child(region, self.parent)
        if self.digests and region_digest(region, tree) != region.digest:
            raise Refusal(at + HEAD + 28, "the region's digest does not fit the content")
        self.contents.append({"sha256": None, "pages": None} if self.partial else self.content.finish(region.size))
        self.regions.append(region)
        self.open = None

    def close_child(self, region: Region, parent: Supplied) -> bytes:
        """Content and digests of a child's region, once its size is known. Answers the digest of its 2^40 pages."""
        leaves: dict[int, bytes] = {}
        for number, page in child_pages(region, self.own, parent, region.at):
            self.content.page(number, page, region.size)
            if self.digests:
                leaves[number] = page_digest(page)
        if not self.digests:
            return b""
        levels = [leaves]
        for height in range(TREE_HEIGHT):
            below, zero = levels[-1], zero_digest(height)
            levels.append({i: pair_digest(below.get(2 * i, zero), below.get(2 * i + 1, zero)) for i in {n >> 1 for n in below}})
        for record, entries in self.nodes:
            height = self.header.pages_log2 + 8 * record.aux
            for place, (i, entry) in enumerate(entries.items()):
                if levels[height].get((record.number << 8) + i, zero_digest(height)) != entry.digest:
                    raise Refusal(record.offset + HEAD + 32 + ENTRY * place + 20, "a digest in a node does not fit the content")
        return levels[TREE_HEIGHT].get(0, zero_digest(TREE_HEIGHT))

    # The rest

    def on_meta(self, record: Record) -> None:
        at = record.offset
        if self.open is not None:
            raise Refusal(at, "META inside a region")
        if not record.body:
            raise Refusal(at + 8, "META without a pair")
        cursor = Cursor(record.body, at + HEAD)
        pairs = parse_pairs(cursor, len(record.body))
        self.meta_total += len(record.body)
        if self.meta_total > MAX_META:
            raise Refusal(at, f"metadata of {self.meta_total} bytes is over the limit", LIMIT)
        self.metadata.update(pairs)

    def on_working_set(self, record: Record) -> None:
        if self.open is not None:
            raise Refusal(record.offset, "WORKING_SET inside a region")
        self.working_set = parse_working_set(record.body, record.offset + HEAD, self.regions)

    def on_seal(self, record: Record) -> None:
        at = record.offset
        if self.open is not None:
            raise Refusal(at, "SEAL inside a region")
        if len(record.body) != 36:
            raise Refusal(at + HEAD, "body of SEAL is not 36 bytes")
        count, digest = struct.unpack("<I32s", record.body)
        if count > MAX_REGIONS:
            raise Refusal(at + HEAD, f"{count} regions are over the limit", LIMIT)
        if count != len(self.regions):
            raise Refusal(at + HEAD, f"SEAL counts {count} regions instead of {len(self.regions)}")
        if self.seal_digest and digest != blake3(b"".join(r.digest for r in self.regions)):
            raise Refusal(at + HEAD + 4, "the snapshot's digest does not fit the regions")
        self.digest = digest

    def on_catalog(self, record: Record) -> None:
        at = record.offset
        if self.digest is None:
            raise Refusal(at, "CATALOG without SEAL")
        parse_catalog(record, self.header)
        meta = pairs_bytes(self.metadata)
        body = struct.pack("<II32s", len(self.regions), len(meta), self.digest)
        for region in self.regions:
            body += region.body + struct.pack("<Q", region.size) + region.close
        if record.body != body + meta + self.parent_body:
            raise Refusal(at + HEAD, "the catalog does not fit the records before it")


# ---------------------------------------------------------------------------------------------------------------------
# Both

def check(file: File, digests: bool = True, supplied: list[Seeker] | None = None) -> Result:
    """Everything. Whether a refused file is incomplete or damaged depends on whether it ends in a valid trailer."""
    header = read_header(file)
    walker = Walker(file, digests, supplied)
    try:
        walked = walker.run()
    except Refusal as refusal:
        ends = walker.trailer_found or find_trailer(file, file.size - TRAILER) is not None
        if refusal.code == DAMAGED and not ends:
            raise Refusal(refusal.offset, refusal.cause, INCOMPLETE) from None
        if refusal.code == INCOMPLETE and ends:
            raise Refusal(refusal.offset, refusal.cause) from None
        raise
    seeker = Seeker(file)
    if seeker.working_set() != walked.working_set:
        raise Refusal(seeker.trailer.catalog_offset, "by seeking and from front to back another working set is found")
    if walker.partial:
        for index in range(len(seeker.catalog.regions)):
            for _ in seeker.blocks(index):
                pass
        return walked
    seeker.attach(supplied or [])
    sought = seeker.read_all()
    same = (walked.digest, walked.metadata, walked.contents, [r.body + r.close for r in walked.regions]) == (
        sought.digest, sought.metadata, sought.contents, [r.body + r.close for r in sought.regions])
    if not same:
        raise Refusal(header.header_bytes, "reading by seeking and from front to back give different content")
    return walked


def describe(file: File, result: Result) -> dict[str, Any]:
    header = result.header
    return {
        "file_bytes": file.size,
        "version": 1,
        "block_bytes": header.block_bytes,
        "copy_window": header.copy_window,
        "features": header.features,
        **({} if result.parent is None else {"parent": {
            "depth": header.parent_depth, "digest": result.parent.digest.hex(),
            "hint": result.parent.hint.decode("utf-8", "backslashreplace")}}),
        "digest": result.digest.hex(),
        "records": result.records,
        "record_types": result.types,
        "metadata": result.metadata,
        **({"working_set": [list(r) for r in result.working_set]} if result.working_set else {}),
        "regions": [
            {
                "index": i,
                "kind": KIND_NAMES[region.kind],
                "name": region.name,
                "size": region.size,
                "announced": region.announced != UNKNOWN,
                "guest_page_bytes": 1 << region.guest_page_log2,
                "placements": [{"guest_address": a, "offset": o, "length": n} for a, o, n in region.placements],
                "block_records": region.block_records,
                "digest": region.digest.hex(),
                "sha256": content["sha256"],
            }
            for i, (region, content) in enumerate(zip(result.regions, result.contents))
        ],
    }


def open_parents(paths: list[Path]) -> list[Seeker]:
    out = []
    for path in paths:
        try:
            seeker = Seeker(File(path))
            if seeker.catalog.digest != blake3(b"".join(r.digest for r in seeker.catalog.regions)):
                raise Refusal(seeker.trailer.catalog_offset + HEAD + 8, "the snapshot's digest does not fit the regions")
            out.append(seeker)
        except Refusal as refusal:
            raise Refusal(refusal.offset, f"in the parent {path.name!r}: {refusal.cause}", refusal.code) from None
    return out


def extract(file: File, directory: Path, supplied: list[Seeker]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    seeker = Seeker(file)
    seeker.attach(supplied)
    outputs = []
    try:
        for i, region in enumerate(seeker.catalog.regions):
            name = re.sub(r"[^A-Za-z0-9._-]", "_", region.name)[:100]
            output = open(directory / f"{i}-{name}", "wb")
            outputs.append(output)
            output.truncate(region.size)

        def put(index: int, offset: int, page: bytes) -> None:
            if page != ZERO_PAGE:
                outputs[index].seek(offset)
                outputs[index].write(page[:seeker.catalog.regions[index].size - offset])

        seeker.read_all(put)
    finally:
        for output in outputs:
            output.close()


# ---------------------------------------------------------------------------------------------------------------------
# Selftest over the vectors

STAGES = ("open", "read", "check")


def open_chain(paths: list[Path]) -> list[Seeker]:
    """Each file with the next as its parent, whatever else would fit."""
    chain = open_parents(paths)
    for i in reversed(range(len(chain))):
        chain[i].attach(chain[i + 1:i + 2])
    return chain


def verdict(path: Path, parents: list[Path]) -> tuple[str, Refusal | None, Result | None]:
    """The earliest of "open", "read", "check" that refuses, and how; or "ok"."""
    file = File(path)
    supplied: list[Seeker] = []
    stage = "open"
    try:
        supplied = open_chain(parents)
        seeker = Seeker(file)
        seeker.attach(supplied[:1])
        stage = "read"
        seeker.read_all()
        stage = "check"
        result = check(file, supplied=supplied[:1])
    except Refusal as refusal:
        return stage, refusal, None
    finally:
        for parent in supplied:
            parent.file.close()
        file.close()
    return "ok", None, result


def judge(vector: dict[str, Any], path: Path) -> str:
    """What is wrong with how a vector was judged; empty where nothing is."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != vector["sha256"]:
        return "the file's sha256 is another"
    parents = [path.parent / name for name in vector.get("parents", [])]
    stage, refusal, result = verdict(path, parents)
    if vector["expected"] == "ok":
        if result is None:
            return f"refused by {stage}: {refusal}"
        found = [{"kind": KIND_NAMES[r.kind], "name": r.name, "size": r.size, "sha256": c["sha256"], "pages": c["pages"]}
                 for r, c in zip(result.regions, result.contents)]
        for mine, its in zip(found, vector["regions"]):
            if "pages" not in its:
                del mine["pages"]
            its_part = {key: its[key] for key in mine}
            if mine != its_part:
                return f"region {mine['name']!r} is another"
        if [list(r) for r in result.working_set] != vector.get("working_set", []):
            return "the working set is another"
        if len(found) != len(vector["regions"]) or result.metadata != vector["metadata"]:
            return "regions or metadata are others"
        return "" if result.digest.hex() == vector["digest"] else "the digest is another"
    if refusal is None:
        return "not refused"
    if STAGES.index(stage) > STAGES.index(vector["refused_by"]):
        return f"refused by {stage} instead of {vector['refused_by']}: {refusal}"
    if refusal.code != vector["code"]:
        return f"refused as {refusal.code} instead of {vector['code']}: {refusal}"
    if vector.get("hint", "") not in refusal.cause:
        return f"refused for another cause: {refusal}"
    file = File(path)
    supplied: list[Seeker] = []
    try:
        supplied = open_chain(parents)
        check(file, supplied=supplied[:1])
        return "not refused from front to back and by seeking"
    except Refusal:
        return ""
    finally:
        for parent in supplied:
            parent.file.close()
        file.close()


def selftest(verbose: bool) -> int:
    folder = Path(__file__).resolve().parent / "vectors" / "v1"
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    listed = {v["file"] for v in manifest["vectors"]}
    failures = [f"{name}: not in the manifest" for name in sorted(p.name for p in folder.glob("*.vmsnap")) if name not in listed]
    for vector in manifest["vectors"]:
        wrong = judge(vector, folder / vector["file"])
        if verbose:
            stage, refusal, _ = verdict(folder / vector["file"], [folder / name for name in vector.get("parents", [])])
            print(f"{vector['file']}: {stage}{f': {refusal}' if refusal else ''}")
        if wrong:
            failures.append(f"{vector['file']}: {wrong}")
    for failure in failures:
        print(failure, file=sys.stderr)
    accepted = sum(v["expected"] == "ok" for v in manifest["vectors"])
    print(f"{len(manifest['vectors'])} vectors ({accepted} ok, {len(manifest['vectors']) - accepted} refused): {len(failures)} mismatches")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks and decodes a vmsnap file, slowly, from SPEC.md alone.")
    parser.add_argument("file", nargs="?")
    parser.add_argument("--extract", metavar="DIR", type=Path, help="write each region to DIR/<number>-<name>")
    parser.add_argument("--parent", metavar="FILE", type=Path, action="append", help="an ancestor of FILE; may be given again")
    parser.add_argument("--no-digests", action="store_true", help="leave out the content digests")
    parser.add_argument("--selftest", action="store_true", help="run over vectors/v1")
    parser.add_argument("--verbose", action="store_true", help="with --selftest: how each vector was judged")
    options = parser.parse_args()
    if options.selftest:
        return selftest(options.verbose)
    if options.file is None:
        parser.error("a file is needed")
    try:
        file = File(options.file)
        try:
            supplied = None if options.parent is None else open_parents(options.parent)
            result = check(file, not options.no_digests, supplied)
            if options.extract is not None:
                extract(file, options.extract, supplied or [])
            print(json.dumps(describe(file, result), indent=2))
            return 0
        finally:
            file.close()
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except OSError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

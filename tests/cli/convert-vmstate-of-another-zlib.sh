#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A VM state that another deflate wrote: the export says that it differs, unless it was imported with --lossless.
source "$(dirname "$0")/lib.sh"
requires zstd python3 cmp
requires_legacy q2008-16m-one.qcow2

zstd -dqf "$legacy/q2008-16m-one.qcow2.zst" -o image.qcow2
expect 0 vmsnap convert -q -O vmstate image.qcow2 level1
python3 - level1 level6 <<'PYTHON'
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
at, out = 16, b""
while at < len(data):
    end_of_id = at + 1 + data[at]
    begin = end_of_id + 12
    (length,) = struct.unpack_from(">I", data, end_of_id + 8)
    head, body = data[at:end_of_id + 8], data[begin:begin + length]
    if head[1:].startswith(b"ram"):
        stream, place = b"", 4
        while place < len(body):
            (size,) = struct.unpack_from(">H", body, place + 2)
            stream += body[place + 4:place + 4 + size]
            place += 4 + size
        stream = zlib.compress(zlib.decompress(stream), 6)
        pieces = [stream[i:i + 4096] for i in range(0, len(stream), 4096)]
        body = body[:4] + b"".join(struct.pack(">HH", 0xfabe, len(piece)) + piece for piece in pieces)
    out += head + struct.pack(">I", len(body)) + body
    at = begin + length
open(sys.argv[2], "wb").write(data[:8] + struct.pack(">Q", len(out)) + out)
PYTHON
cmp -s level1 level6 && fail "the two are the same"

expect 0 vmsnap convert -q level6 x.vmsnap
expect 1 vmsnap convert -q -O vmstate x.vmsnap state
says 'state: differs from the VM state that was imported'
[[ -s state ]] || fail "what differs is written nevertheless"
expect 0 vmsnap convert -q --lossless level6 lossless.vmsnap
expect 0 vmsnap convert -q -O vmstate lossless.vmsnap state
same level6 state
vmsnap convert -q level1 y.vmsnap
expect 0 vmsnap convert -q -O raw --region all x.vmsnap ram6
expect 0 vmsnap convert -q -O raw --region all y.vmsnap ram1
same ram1 ram6

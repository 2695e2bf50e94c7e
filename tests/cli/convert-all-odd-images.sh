#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# convert --all: names that lead out of the directory, hide or collide; IDs that are there twice; what is no image.
source "$(dirname "$0")/lib.sh"
requires python3 zstd

requires_legacy q2008-32m-disk.qcow2
zstd -dqf "$legacy/q2008-32m-disk.qcow2.zst" -o image.qcow2
# odd ID NAME ID NAME: the image with other ones, a byte each.
odd() {
  python3 - "$@" <<'PYTHON'
import struct, sys
data = bytearray(open("image.qcow2", "rb").read())
at = struct.unpack_from(">Q", data, 64)[0]
for each in sys.argv[1::2], sys.argv[2::2]:
    pass
for identity, name in zip(sys.argv[1::2], sys.argv[2::2]):
    id_bytes, name_bytes, extra = struct.unpack_from(">HH20xI", data, at + 12)
    text = at + 40 + extra
    data[text:text + 2] = (identity + name).encode("latin-1")
    at = (text + id_bytes + name_bytes + 7) // 8 * 8
open("odd.qcow2", "wb").write(data)
PYTHON
}
makes() { # NAMES
  rm -rf dir
  expect 0 vmsnap convert -q --all odd.qcow2 dir
  [[ $(names_in dir) == "$1" ]] || fail "made $(names_in dir), not $1"
  expect 0 vmsnap check -q dir/*
}
odd 1 / 2 .
makes '_-2.vmsnap _.vmsnap '
odd 1 x 2 x
makes 'x-2.vmsnap x.vmsnap '
odd 1 - 2 $'\n'
makes '_-2.vmsnap _.vmsnap '
odd 7 a 7 b # the second is chosen by its name
makes 'a.vmsnap b.vmsnap '
odd 7 a 7 a
rm -rf dir
expect 4 vmsnap convert -q --all odd.qcow2 dir
says "odd.qcow2: two snapshots have the ID '7' and cannot be told apart"
odd 7 a 7 7
expect 4 vmsnap convert -q --all odd.qcow2 dir
absent dir

make_ram ram 1
expect 2 vmsnap convert -q --all ram dir
says '--all makes snapshots of those in a qcow2 image; ram is raw'
expect 2 vmsnap convert -q --all -l 1 image.qcow2 dir
expect 2 vmsnap convert -q --all -O raw image.qcow2 dir
expect 2 vmsnap convert -q --all image.qcow2 -
expect 2 vmsnap convert -q --all image.qcow2 ram
says 'ram: is not a directory'
expect 3 vmsnap convert -q --all image.qcow2 no/where
absent dir
# A link in the directory leads to the base: it is not replaced by its child.
mkdir dir
ln -s a.vmsnap dir/b.vmsnap
expect 2 vmsnap convert -q --all image.qcow2 dir
says 'dir/b.vmsnap: is the parent'
expect 0 vmsnap check -q dir/a.vmsnap

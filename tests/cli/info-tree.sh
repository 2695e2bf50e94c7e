#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# info --tree: families of the snapshots of a directory, with orphans and what cannot be read.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 3
mkdir d
cp ./*.vmsnap r0 d
vmsnap convert -q -B base.vmsnap r3 d/side.vmsnap
work_on r0 other 99 >/dev/null
vmsnap convert -q other d/alone.vmsnap # no relative
vmsnap convert -q -B c2.vmsnap r2 d/same.vmsnap # unchanged: has its parent's digest
expect 0 vmsnap info --tree d
python3 - out <<'PYTHON' || fail "$(cat out)"
import sys
lines = [line.rstrip("\n") for line in open(sys.argv[1])]
at = next(i for i, line in enumerate(lines) if line.startswith("base.vmsnap"))
shape = [line[:line.index(".vmsnap") + 7] for line in lines[at:at + 6]]
assert shape == ["base.vmsnap", "|-- c1.vmsnap", "|   `-- c2.vmsnap", "|       |-- c3.vmsnap", "|       `-- same.vmsnap", "`-- side.vmsnap"], shape
PYTHON
prints 'in all: 6 files, '
prints 'in all: 1 file, '

rm d/c1.vmsnap
head -c 300 d/alone.vmsnap >d/cut.vmsnap
expect 5 vmsnap info --tree d
prints "parent 'c1.vmsnap' is not here: digest $(digest_of c1.vmsnap)"
prints 'not read: cut.vmsnap: '
status=0
vmsnap info --tree --output=json d >tree.json || status=$?
check() { [[ $(json tree.json "$1") == True ]] || fail "$1: $(cat tree.json)"; }
check 'sorted((f["root"]["file"], f["files"], f["orphan"]) for f in j["families"]) == [("alone.vmsnap", 1, False), ("base.vmsnap", 2, False), ("c2.vmsnap", 3, True)]'
check "[f['file_bytes'] for f in j['families'] if f['orphan']] == [$(cat d/c2.vmsnap d/c3.vmsnap d/same.vmsnap | wc -c)]"
check '[(u["file"], u["code"]) for u in j["unread"]] == [("cut.vmsnap", "incomplete")]'
check '[c["file"] for f in j["families"] if f["orphan"] for c in f["root"]["children"]] == ["c3.vmsnap", "same.vmsnap"]'
check 'all(f["block_records"] == f["root"]["block_records"] + sum(c["block_records"] for c in f["root"]["children"]) for f in j["families"])'
[[ $status == 5 ]] || fail "status $status"
mkdir empty
expect 0 vmsnap info --tree empty
prints 'empty: no snapshots'
expect 3 vmsnap info --tree r0
expect 3 vmsnap info --tree nowhere

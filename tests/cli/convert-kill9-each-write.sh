#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Killed at its n-th write, sync, link or rename, for every n: the target is the old file or the new one.
source "$(dirname "$0")/lib.sh"
requires python3 cmp
requires_strace

make_ram ram 1
vmsnap convert -q -o block_size=16K ram new
vmsnap convert -q -O raw new raw
mkdir there
head -c 1000 new >old

killed_at_each() {
  local call=$1 n status
  shift
  for ((n = 1; n <= 100; n++)); do
    cp old there/out
    status=0
    # bash tells of the killed child on stderr
    { traced "$call:signal=KILL:when=$n" "" "$VMSNAP" convert -q -j1 "$@" there/out; } 2>/dev/null || status=$?
    [[ $status == 0 ]] || cmp -s old there/out || cmp -s "$good" there/out || fail "$call $n: a part"
    [[ $status != 0 ]] || cmp -s "$good" there/out || fail "$call $n: said done"
    # The whole new file may stay under a hidden name when killed right at the rename; never part of one.
    find there -name '.*' -size +0 | while read -r left; do cmp -s "$good" "$left" || fail "$call $n: part left in $left"; done
    rm -rf there/.[a-z]*
    [[ $status != 0 ]] || break
  done
  echo "$call: killed at $((n - 1)) places"
}
good=new
for call in write fsync linkat renameat; do killed_at_each $call -o block_size=16K ram; done
good=raw
for call in pwrite64 ftruncate fsync renameat; do killed_at_each $call -O raw new; done

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Killed at its n-th write, sync, link or rename, a difference or its parent is never half there: the old file or the new one.
source "$(dirname "$0")/lib.sh"
requires python3 cmp
requires_strace
[[ -z ${SNAP_SANITIZE:-} ]] || skip "all these starts take too long with sanitizers"

make_chain 2
cp c2.vmsnap old
vmsnap convert -q -B base.vmsnap r2 new
vmsnap flatten -q c2.vmsnap flat
sha256sum base.vmsnap c1.vmsnap >sums
mkdir there
cp base.vmsnap c1.vmsnap there
killed_at_each() {
  local call=$1 good=$2 n status
  shift 2
  for ((n = 1; n <= 100; n++)); do
    cp old there/out
    status=0
    { traced "$call:signal=KILL:when=$n" "" "$VMSNAP" "$@" there/out; } 2>/dev/null || status=$?
    [[ $status == 0 ]] || cmp -s old there/out || cmp -s "$good" there/out || fail "$1 $call $n: a part"
    [[ $status != 0 ]] || cmp -s "$good" there/out || fail "$1 $call $n: said done"
    rm -f there/.[a-z]*
    (cd there && sha256sum --quiet -c ../sums) || fail "$1 $call $n: a parent was changed"
    [[ $status != 0 ]] || break
  done
  echo "$1 $call: killed at $((n - 1)) places"
}
for call in write fsync linkat renameat; do
  killed_at_each $call new convert -q -B base.vmsnap r2
  killed_at_each $call new rebase -q -B there/base.vmsnap
  killed_at_each $call flat flatten -q
done

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The name that a child gives its parent leads to no file but those beside it and where --parent says.
source "$(dirname "$0")/lib.sh"
requires python3
requires_strace
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers open files of their own"

make_chain 1
mkdir there given
mv c1.vmsnap there
cp base.vmsnap given
# Opened beneath $work, of all that is tried.
opened() {
  strace -f -qq -o trace -e trace=open,openat,openat2 "$VMSNAP" "$@" >out 2>err || true
  grep -v ENOENT trace | grep -oE '"[^"]*"' | tr -d '"' | grep -vE '^/(etc|lib|lib64|usr|proc|sys|dev|var/tmp)(/|$)|^\.$' | grep -vF "${TMPDIR:-/tmp}" | sort -u | tr '\n' ' ' || true
}
[[ $(opened check there/c1.vmsnap) == 'there/c1.vmsnap ' ]] || fail "opened $(opened check there/c1.vmsnap)"
[[ $(opened compare there/c1.vmsnap r1) == 'there/c1.vmsnap ' ]] || fail "opened $(opened compare there/c1.vmsnap r1)"
[[ $(opened check --parent given there/c1.vmsnap) == 'given/base.vmsnap there/c1.vmsnap ' ]] || fail "opened $(opened check --parent given there/c1.vmsnap)"
[[ $(opened info there/c1.vmsnap) == 'there/c1.vmsnap ' ]] || fail "opened $(opened info there/c1.vmsnap)"
cp base.vmsnap there
[[ $(opened map there/c1.vmsnap) == 'there/c1.vmsnap ' ]] || fail "map opened $(opened map there/c1.vmsnap)"
[[ $(opened check there/c1.vmsnap) == 'there/base.vmsnap there/c1.vmsnap ' ]] || fail "opened $(opened check there/c1.vmsnap)"
# A hint that is a way to somewhere else is not even taken for legal.
python3 - there/c1.vmsnap bad.vmsnap <<'PYTHON'
import sys
data = open(sys.argv[1], "rb").read()
assert data.count(b"base.vmsnap") >= 1
open(sys.argv[2], "wb").write(data.replace(b"base.vmsnap", b"../../../r0"))
PYTHON
expect 4 vmsnap check bad.vmsnap
[[ $(opened check bad.vmsnap) == 'bad.vmsnap ' ]] || fail "opened $(opened check bad.vmsnap)"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A call that fails while a difference is written, on its own file, the source or the parent, is an error or is overcome.
source "$(dirname "$0")/lib.sh"
requires python3 cmp
requires_strace
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers make calls of their own"

make_chain 2
mkdir there
survives() { # INJECT PATH
  local status=0
  rm -rf there/out
  traced "$1" "$2" "$VMSNAP" convert -q -j2 -B c1.vmsnap r2 there/out 2>err || status=$?
  if [[ $status == 0 ]]; then
    same c2.vmsnap there/out
  else
    [[ $status == 3 ]] || fail "$1 $2: status $status: $(cat err)"
    absent there/out
  fi
  [[ $(names_in there) =~ ^(out )?$ ]] || fail "$1: left $(names_in there)"
}
for when in 1 2 3 6 2+; do
  survives "write:error=ENOSPC:when=$when" ""
  for path in r2 c1.vmsnap base.vmsnap; do survives "pread64:error=EIO:when=$when" $path; done
done
survives "pread64:error=EIO:when=4+" base.vmsnap
absent there/out
says 'base.vmsnap'
says 'Input/output error'
for call in fsync linkat renameat; do
  survives "$call:error=EIO:when=1" ""
  says 'there/out: '
done
survives "pread64:error=EINTR:when=1+3" base.vmsnap
[[ -e there/out ]] || fail "an interrupted read is not an error"

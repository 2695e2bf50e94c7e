#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A system call that fails, whichever and whenever, is an error or is overcome; never a half file.
source "$(dirname "$0")/lib.sh"
requires python3 cmp
requires_strace
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers make calls of their own"

make_ram ram 2
vmsnap convert -q ram x.vmsnap
mkdir there
# survives INJECT PATH COMMAND...: there/out is $good, or the command says 3 and nothing is there.
survives() {
  local inject=$1 path=$2 status=0
  shift 2
  rm -rf there/out
  traced "$inject" "$path" "$VMSNAP" "$@" there/out 2>err || status=$?
  if [[ $status == 0 ]]; then
    same "$good" there/out
  else
    [[ $status == 3 ]] || fail "$inject: status $status: $(cat err)"
    absent there/out
  fi
  [[ $(names_in there) =~ ^(out )?$ ]] || fail "$inject: left $(names_in there)"
}
for when in 1 2 5 9 2+; do
  good=x.vmsnap
  survives "write:error=ENOSPC:when=$when" "" convert -q -j2 ram
  survives "write:error=EIO:when=$when" "" convert -q -j2 ram
  survives "pread64:error=EIO:when=$when" ram convert -q -j2 ram
  good=ram
  survives "pwrite64:error=EDQUOT:when=$when" "" convert -q -j2 -O raw x.vmsnap
  survives "pread64:error=EIO:when=$when" x.vmsnap convert -q -j2 -O raw x.vmsnap
done
survives "pread64:error=EIO:when=2" x.vmsnap convert -q -O raw x.vmsnap
says 'x.vmsnap: '
says 'Input/output error'
good=x.vmsnap
for call in fsync linkat renameat; do
  survives "$call:error=EIO:when=1" "" convert -q ram
  says 'there/out: '
done
survives "write:error=EINTR:when=1+3" "" convert -q ram
[[ -e there/out ]] || fail "an interrupted write is not an error"
good=ram
survives "pread64:error=EINTR:when=1+3" x.vmsnap convert -q -O raw x.vmsnap
[[ -e there/out ]] || fail "an interrupted read is not an error"
survives "io_uring_setup:error=ENOSYS" "" convert -q -O raw x.vmsnap
[[ -e there/out ]] || fail "without io_uring"

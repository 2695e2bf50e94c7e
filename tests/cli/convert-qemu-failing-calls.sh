#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A system call that fails during a live save, whichever and whenever, is an error; never a half or a wrong file.
source "$(dirname "$0")/lib.sh"
requires python3 cmp
requires_strace
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers make calls of their own"
mkdir spool there
export TMPDIR=$PWD/spool

make_ram ram 1
python3 "$source_dir/tests/support/migration_stream.py" ram --rounds 2 --pages 40 >guest.mig
vmsnap convert -q guest.mig good.vmsnap
# survives INJECT: there/out is as it should be, or the command says 3 and nothing is there. (127: the program was not loaded.)
survives() {
  local status=0
  rm -rf there/out
  traced "$1" "" "$VMSNAP" convert -q -j2 guest.mig there/out 2>err || status=$?
  if [[ $status == 0 ]]; then
    same good.vmsnap there/out
  else
    [[ $status == 3 || $status == 127 ]] || fail "$1: status $status: $(cat err)"
    absent there/out
  fi
  [[ $(names_in there) =~ ^(out )?$ && -z $(names_in spool) ]] || fail "$1: left $(names_in there)$(names_in spool)"
}
for when in 1 2 5 9 17 25 40 12+; do
  survives "pwrite64:error=ENOSPC:when=$when"  # the spool
  survives "write:error=ENOSPC:when=$when"     # both snapshots
  survives "pread64:error=EIO:when=$when"      # the stream, the spool, the first snapshot
done
survives "pwrite64:error=ENOSPC:when=1"
says "spool file"
for call in fsync linkat renameat; do survives "$call:error=EIO:when=1"; done
survives "pwrite64:error=EINTR:when=1+3"
[[ -e there/out ]] || fail "an interrupted write is not an error"

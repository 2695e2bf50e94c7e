#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A parent that cannot be read while its child is checked is named by the error.
source "$(dirname "$0")/lib.sh"
requires python3
requires_strace
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers make calls of their own"

make_chain 1
expect 0 vmsnap check -q c1.vmsnap
failed=0
for when in 5 6 7 8 9 10; do
  status=0
  traced "pread64:error=EIO:when=$when+" base.vmsnap "$VMSNAP" check -q c1.vmsnap >out 2>err || status=$?
  [[ $status == 0 ]] && continue
  [[ $status == 3 ]] || fail "status $status: $(cat err)"
  grep -q 'c1.vmsnap: its parent .*base.vmsnap: ' err && failed=$((failed + 1))
done
((failed > 0)) || fail "no error names the parent: $(cat err)"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A live save against a parent: pages that come again end in the difference, and the whole chain gives what the guest had.
source "$(dirname "$0")/lib.sh"
requires python3 cmp
stream() { python3 "$source_dir/tests/support/migration_stream.py" "$@"; }

make_ram ram 6
stream ram --truth before >first.mig
vmsnap convert -q first.mig base.vmsnap
stream before --rounds 5 --pages 40 --seed 2 --truth after >second.mig
for threads in 1 2 4; do
  vmsnap convert -q -j$threads -B base.vmsnap second.mig child$threads.vmsnap
  vmsnap convert -q -O raw child$threads.vmsnap - | cmp - after || fail "$threads threads"
  same child1.vmsnap child$threads.vmsnap
  cat second.mig | vmsnap convert -q -j$threads -B base.vmsnap - - | cat >piped.vmsnap
  same child1.vmsnap piped.vmsnap
done
expect 0 vmsnap check -q --parent base.vmsnap child1.vmsnap
(($(stat -c %s child1.vmsnap) * 2 < $(stat -c %s base.vmsnap))) || fail "not a difference"

# A parent that cannot be read while the second snapshot is written is named.
cp base.vmsnap kept.vmsnap
flip base.vmsnap $(($(stat -c %s base.vmsnap) / 2))
expect 4 vmsnap convert -q -B base.vmsnap second.mig broken.vmsnap
says base.vmsnap
absent broken.vmsnap

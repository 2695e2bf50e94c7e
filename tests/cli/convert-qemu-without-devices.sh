#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot that has no state of devices gives no migration stream, and says so.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 1
vmsnap convert -q ram raw.vmsnap
for input in ram raw.vmsnap; do
  expect 8 vmsnap convert -q -O qemu $input out.mig
  says "$input: "
  says "no state of devices"
  absent out.mig
done
expect 8 vmsnap convert -q -O qemu raw.vmsnap -
[[ ! -s out ]] || fail "something was written"

# A machine that nobody knows.
python3 "$source_dir/tests/support/migration_stream.py" ram >guest.mig
expect 2 vmsnap convert -q --machine pdp11 guest.mig out.vmsnap
says "machine type"
absent out.vmsnap
expect 0 vmsnap convert -q --machine q35 guest.mig out.vmsnap

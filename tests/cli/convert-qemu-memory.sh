#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pages that come again are spooled, not kept in memory: less than 48 MiB for a guest of 64 MiB all of whose pages come late.
source "$(dirname "$0")/lib.sh"
requires python3
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers need memory of their own"

make_ram piece 32
cat piece piece >ram
python3 "$source_dir/tests/support/migration_stream.py" ram --backwards --rounds 1 --pages 3000 --truth truth >guest.mig
rm ram
for options in codec=lz4 block_size=1M,codec=zstd; do
  peak 48 "$VMSNAP" convert -q -j2 -o $options guest.mig x.vmsnap
  vmsnap convert -q -O raw x.vmsnap - | cmp - truth || fail "$options"
done
peak 48 "$VMSNAP" convert -q -j2 -O raw guest.mig back
same back truth
peak 96 "$VMSNAP" convert -q -j2 -O qemu x.vmsnap again.mig

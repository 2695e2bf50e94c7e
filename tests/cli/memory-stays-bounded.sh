#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a command needs of memory does not grow with the guest: less than 64 MiB for 96 MiB and for 384.
source "$(dirname "$0")/lib.sh"
requires python3
[[ -z ${SNAP_SANITIZE:-} ]] || skip "sanitizers need memory of their own"

# peak LIMIT_MIB COMMAND...: fails where the command's resident memory was larger at any time.
peak() {
  python3 - "$@" <<'PYTHON' || fail "$*"
import resource, subprocess, sys
subprocess.run(sys.argv[2:], check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{peak:.0f} MiB: {' '.join(sys.argv[3:])}")
sys.exit(peak > float(sys.argv[1]))
PYTHON
}

make_ram piece 32
truncate -s 32M hole
for parts in 1 4; do
  for ((i = 0; i < parts; ++i)); do cat piece hole piece; done >ram
  for options in block_size=64K,codec=lz4 block_size=1M,codec=zstd; do
    peak 64 "$VMSNAP" convert -q -j2 -o $options ram x.vmsnap
    peak 64 "$VMSNAP" convert -q -j2 -O raw x.vmsnap back
    peak 64 "$VMSNAP" check -q -j2 x.vmsnap
  done
  same ram back
done

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sets vmsnap up on a fresh Debian 12 and shows its main job: an image of 2008 goes in, the guest's memory comes back.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-deps.sh
cmake --preset release -DSNAP_BUILD_TESTS=OFF -DSNAP_BUILD_BENCH=OFF > /dev/null
cmake --build --preset release
export PATH=$PWD/build/release/tools:$PATH

# The 16 MiB of RAM that the guest had when it was saved.
truth=75890b156d80e6b47a8784de62013bef6d7007facab57f3ab16f97544c555144
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
zstd -dqf tests/data/legacy/q2008-16m-one.qcow2.zst -o "$work/old.qcow2"
cd "$work"
run() { printf '\n$ %s\n' "$*" && "$@"; }

run vmsnap info old.qcow2
run vmsnap convert old.qcow2 guest.vmsnap
run vmsnap info guest.vmsnap
run vmsnap check guest.vmsnap
run vmsnap convert -O raw guest.vmsnap ram
run sha256sum ram

read -r digest _ < <(sha256sum ram)
if [ "$digest" != "$truth" ]; then
  echo "That is not the memory the guest had ($truth)." >&2
  exit 1
fi
size() { stat -c %s "$1"; }
printf '\nThat is the memory the guest had, byte for byte.\n'
printf '%-20s %9d bytes\n' "the guest's RAM" "$(size ram)" 'the old image' "$(size old.qcow2)" guest.vmsnap "$(size guest.vmsnap)"
printf 'The program is %s\n' "$(command -v vmsnap)"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes migration streams of the guest of make-guest.sh that QEMU can go on from: a base, and the same guest a little later.
#
#   make-streams.sh [--force] OUTDIR
#
#   OUTDIR/base.mig    all of the stopped guest, RAM of 1 GiB included, as plain QEMU migrates it; says "beat N" on its console
#   OUTDIR/child.mig   the same guest after a round of everything (works.sh): about one page in twenty changed
#   OUTDIR/base.qcow2, OUTDIR/child.qcow2   the guest's disk at these moments: overlays of OUTDIR/work/disk.img, to be used
#                      with snapshot=on
#   OUTDIR/streams.txt what all was made from, and what changed
#
# Takes 1 GiB in OUTDIR, and five minutes on two cores. With the OUTDIR of make-guest.sh the disk is shared with it.
# A complete result is kept: a second run does nothing. GUEST_TIMEOUT and MIRROR are those of make-guest.sh.
set -euo pipefail

# shellcheck source=bench/guest/prepare.sh
. "$(dirname "$(readlink -f "$0")")/prepare.sh"

MEGABYTES=1024

enter_outdir_of "$@"
manifest=$outdir/streams.txt # written after all the rest

if [ -z "$force" ] && [ -f "$manifest" ]; then
    echo "$me: $manifest is there already"
    cat "$manifest"
    exit 0
fi

need_tools qemu-img
prepare_guest $MEGABYTES

rm -f "$manifest"
exec python3 "$here/run-streams.py" "${machine[@]}" --outdir "$outdir" --manifest "$manifest"

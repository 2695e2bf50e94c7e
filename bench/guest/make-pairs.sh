#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes pairs of RAM images where the second is the first some time later, from the guest of make-guest.sh with 1 GiB.
#
#   make-pairs.sh [--force] OUTDIR
#
#   OUTDIR/base.raw         booted, services up and loaded; what make-guest.sh takes its picture of
#   OUTDIR/WORK-minute.raw  about a minute of WORK after the base, its parent
#   OUTDIR/WORK-seconds.raw some seconds later, with WORK going on; WORK-minute.raw is its parent
#   OUTDIR/pairs.txt        a line for each pair: parent, child, pages that changed; after #: what all was made from
#
# WORK is compile (gcc and perl), kv (redis being filled) or sqlite-git (transactions and commits). All three start from
# the very same base: QEMU saves the stopped guest's devices once, its RAM is base.raw itself, and its disk an overlay
# that nobody writes any more.
#
# Takes 7 GiB in OUTDIR, and eight minutes on two cores. With the OUTDIR of make-guest.sh the disk is shared with it. The
# times are the clock's, so on a busy machine less work is done in them and fewer pages change; pairs.txt says how many.
# A complete result is kept: a second run does nothing. GUEST_TIMEOUT and MIRROR are those of make-guest.sh.
set -euo pipefail

# shellcheck source=bench/guest/prepare.sh
. "$(dirname "$(readlink -f "$0")")/prepare.sh"

MEGABYTES=1024

enter_outdir_of "$@"
manifest=$outdir/pairs.txt

# The manifest is written after all the images, and names each.
is_done() {
    [ -f "$manifest" ] && awk '!/^#/ { print $1; print $2 }' "$manifest" |
        while read -r name; do [ -f "$outdir/$name" ] || exit 1; done
}

if [ -z "$force" ] && is_done; then
    echo "$me: $manifest is there already"
    cat "$manifest"
    exit 0
fi

need_tools qemu-img
prepare_guest $MEGABYTES

rm -f "$manifest"
exec python3 "$here/run-pairs.py" "${machine[@]}" --outdir "$outdir" --manifest "$manifest"

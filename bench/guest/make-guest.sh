#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the RAM image the benchmarks run on: a Debian guest is built, booted under QEMU's software emulation (no KVM
# needed), put to work, stopped, and its memory is copied out. Nothing in the image is synthetic filler.
#
#   make-guest.sh [-m MEGABYTES] [--later SECONDS:FILE] [--force] OUTDIR
#
# Leaves OUTDIR/guest.raw (all of the guest's RAM in guest-physical order, exactly MEGABYTES MiB) and OUTDIR/guest.txt
# (what it was made from, zero share, SHA-256). With --later, the same guest goes on working for SECONDS and is dumped
# again into FILE. A complete result is kept: a second run with the same options does nothing.
#
# The mix is balanced for the default 1024 MB: about 42 % of the pages are then not zero. Much of it has a fixed size, so
# a smaller guest is fuller (512 MB: 68 %) and a larger one emptier (4096 MB: 32 %). On two quiet cores the disk takes a
# minute, once, and the guest 200 s.
#
# The recipe is fixed, the bytes are not: two runs give images alike in make-up, not equal. Publish figures together
# with guest.txt. MIRROR=URL picks another Debian mirror (for example one day of snapshot.debian.org, which pins the
# package versions too).
set -euo pipefail

# shellcheck source=bench/guest/prepare.sh
. "$(dirname "$(readlink -f "$0")")/prepare.sh"

usage() {
    echo "usage: $me [-m MEGABYTES] [--later SECONDS:FILE] [--force] OUTDIR" >&2
    exit 2
}

megabytes=1024
later_spec=
force=
outdir=
while [ $# -gt 0 ]; do
    case $1 in
        -m)
            [ $# -ge 2 ] || usage
            megabytes=$2
            shift
            ;;
        --later)
            [ $# -ge 2 ] || usage
            later_spec=$2
            shift
            ;;
        --force) force=1 ;;
        -h | --help | -*) usage ;;
        *)
            [ -z "$outdir" ] || usage
            outdir=$1
            ;;
    esac
    shift
done
[ -n "$outdir" ] || usage
[[ $megabytes =~ ^[1-9][0-9]{2,5}$ ]] || die "-m wants 256 to 999999 megabytes, not '$megabytes'"
[ "$megabytes" -ge 256 ] || die "-m wants 256 megabytes or more: the guest needs room to work"
if [ -n "$later_spec" ]; then
    [[ $later_spec =~ ^[1-9][0-9]{0,4}:.+$ ]] || die "--later wants SECONDS:FILE, not '$later_spec'"
    later_spec=${later_spec%%:*}:$(realpath -m "${later_spec#*:}")
fi

enter_outdir "$outdir"
raw=$outdir/guest.raw
manifest=$outdir/guest.txt

# A dump appears under its name only when whole, and the manifest is written after all of them.
is_whole() { [ -f "$1" ] && [ "$(stat -c %s "$1")" -eq $((megabytes * 1048576)) ]; }

is_done() {
    [ -f "$manifest" ] && is_whole "$raw" || return 1
    [ -z "$later_spec" ] && return 0
    is_whole "${later_spec#*:}" && grep -qxF "later: $later_spec" "$manifest"
}

if [ -z "$force" ] && is_done; then
    echo "$me: $raw is there already"
    cat "$manifest"
    exit 0
fi

prepare_guest "$megabytes"

rm -f "$manifest"
arguments=("${machine[@]}" --dump "$raw" --manifest "$manifest")
[ -z "$later_spec" ] || arguments+=(--later "$later_spec")
exec python3 "$here/run-guest.py" "${arguments[@]}" # takes over the lock, and ends QEMU whatever happens

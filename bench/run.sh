#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the figures of docs/performance.md, each beside its peer, measured in the same run.
#
#   bench/run.sh [--guest FILE] [--pairs DIRECTORY] [--quick] [--codings] [--figures DIGITS] [--rounds N] [--json FILE]
#   bench/run.sh delta [OPTION]...           the delta codecs, without a guest; delta --help lists the options
#   bench/run.sh restore-many [OPTION]...    figure 8 alone, without a guest unless --guest FILE is among the options
#   bench/run.sh vmm [--quick] [--rounds N] [--figures DIGITS] [--json FILE]     in and out of a real QEMU, below
#   bench/run.sh fuse [--quick] [--rounds N] [--figures DIGITS] [--json FILE]    the mounted view, below
#
#   --guest FILE      raw memory of a guest; without it, bench/guest/make-guest.sh makes 1 GiB of one, once (ten minutes)
#   --pairs DIRECTORY figure 6, too, of real pairs of images: bench/guest/make-pairs.sh makes them there, once (ten minutes)
#   --quick           five rounds instead of nine, and less of what takes long
#   --codings         instead, the table of codecs, levels and block sizes from which the defaults were chosen
#   --figures DIGITS  only some: 1 restore, 2 random reads, 3 create, 4 sizes and opening, 5 old images; of differences against a
#                     parent: 6 real pairs, 7 a small change, 8 thirty children, 9 a chain
#   --json FILE       the same figures as JSON
#
# vmm has its own five figures, seven rounds of each (three with --quick), of a guest of 1 GiB that QEMU goes on with. Its streams
# and raw memory are made once (fifteen minutes) by bench/guest/make-streams.sh and make-guest.sh:
#   1  the stopped guest migrates into vmsnap, cat, lz4 and gzip, on tmpfs and on the disk; until QEMU has waited for the program
#   2  QEMU takes a whole guest in, from a snapshot and from the stream, warm and cold; from its start until loaded, until it counts
#   3  one clone, against a QEMU that has no pages to take in and against a whole restore
#   4  thirty clones, two at a time, against thirty whole restores; their private memory
#   5  what vmsnap takes from a pipe of 1 MiB, against cat > /dev/null
# Needs root (for the guest's disk), qemu-system-x86_64, mmdebstrap; 3 GB in $BENCH_DATA, 2 GB in /dev/shm, 20 GB of memory for 4.
#
# fuse has its own five, seven rounds of each (three with --quick), of the same guest's memory in an lz4 snapshot; every cold read is
# of a mount made for it, and of pages that are seen not to be in the page cache:
#   1  read in order, cold, one reader and two: against a server that answers from memory, libsnap's own decode with as many threads,
#      squashfuse (lz4, 128 KiB), the kernel's squashfs (the same image) and erofs (lz4, 64 KiB, extents of 128)
#   2  4 KiB at random, cold: against squashfuse, the server that answers from memory, and the decode of one block
#   3  warm: against the raw file, and the server that answers from memory
#   4  a clone over the mounted base, its working set recorded before: from QEMU's start to the guest's next count, against warm
#   5  the daemon's memory under sixteen readers
# Needs root (for mounts) and libfuse3-dev, fuse3, squashfuse, squashfs-tools, erofs-utils; 4 what vmm needs; 2 GB in
# $BENCH_DATA, 6 GB of memory.
#
# Everything made is kept under build/: the program in build/release, images in build/bench-data ($BENCH_DATA).
# Wants two processors with nothing else to do, 4 GB of memory, and room for 3 GB in build/ and 3 GB in /dev/shm; pairs take 7 GB.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "$0")")")
build=${BENCH_BUILD:-$root/build/release}
data=${BENCH_DATA:-$root/build/bench-data}
guest=
json=
figures=12345789
pairs=
arguments=()

usage() {
    sed -n '3,41s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

build_programs() { # TARGET...
    if [ ! -f "$build/build.ninja" ]; then
        cmake -G Ninja -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release > /dev/null
    fi
    cmake --build "$build" --target "$@" > "$data/build.log" || { cat "$data/build.log" >&2; exit 1; }
}

if [ "${1:-}" = delta ] || [ "${1:-}" = restore-many ]; then
    mkdir -p "$data"
    build_programs vmsnap_bench
    exec "$build/bench/vmsnap-bench" "$@"
fi

need_packages() { # PROGRAM PACKAGE, PROGRAM PACKAGE…; and libfuse3
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" > /dev/null || missing+=("$2")
        shift 2
    done
    pkg-config --exists fuse3 || missing+=(libfuse3-dev)
    [ ${#missing[@]} -eq 0 ] || { echo "run.sh: not installed: ${missing[*]}" >&2; exit 1; }
}

if [ "${1:-}" = vmm ] || [ "${1:-}" = fuse ]; then
    what=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --quick) arguments+=(--rounds 3) ;;
            --rounds | --figures | --json)
                [ $# -ge 2 ] || usage
                [ "$1" != --figures ] || figures=$2
                arguments+=("$1" "$2")
                shift
                ;;
            *) usage ;;
        esac
        shift
    done
    mkdir -p "$data"
    targets=(vmsnap)
    if [ "$what" = fuse ]; then
        need_packages fusermount3 fuse3 squashfuse_ll squashfuse mksquashfs squashfs-tools mkfs.erofs erofs-utils
        targets+=(vmsnap_bench fuse_memory_server file_reader)
        arguments+=(--programs "$build/bench")
    fi
    [ "$what" = fuse ] && [[ $figures != *4* ]] || "$root/bench/guest/make-streams.sh" "$data" >&2
    "$root/bench/guest/make-guest.sh" "$data" >&2
    build_programs "${targets[@]}"
    exec python3 "$root/bench/$what" --vmsnap "$build/tools/vmsnap" --data "$data" "${arguments[@]}"
fi

while [ $# -gt 0 ]; do
    case $1 in
        --guest | --pairs | --json | --figures | --rounds)
            [ $# -ge 2 ] || usage
            case $1 in
                --guest) guest=$(realpath "$2") ;;
                --json) json=$(realpath -m "$2") ;;
                --figures) figures=$2 ;;
                --pairs) pairs=$(realpath -m "$2") ;;
                --rounds) arguments+=(--rounds "$2") ;;
            esac
            shift
            ;;
        --quick | --codings) arguments+=("$1") ;;
        *) usage ;;
    esac
    shift
done

for tool in lz4 zstd; do
    command -v "$tool" > /dev/null || { echo "run.sh: not installed: $tool" >&2; exit 1; }
done
mkdir -p "$data"
if [ -z "$guest" ]; then
    "$root/bench/guest/make-guest.sh" "$data" >&2
    guest=$data/guest.raw
fi

if [ -n "$pairs" ]; then
    "$root/bench/guest/make-pairs.sh" "$pairs" >&2
    [[ $figures == *6* ]] || figures+=6
    arguments+=(--pairs "$pairs")
fi

build_programs vmsnap_bench make_old_image

if [[ $figures == *5* ]]; then
    old=$data/old-$(stat -c '%s-%Y' "$guest")
    if [ ! -f "$old.stream" ]; then
        echo "run.sh: making an image of the old layout" >&2
        rm -f "$data"/old-*
        # Every other MiB, so that the share of zeros is the guest's: the low half of a guest is full, the high half empty.
        for ((i = 0; i < 512; ++i)); do
            dd if="$guest" bs=1M skip=$((i * 2)) count=1 status=none
        done > "$data/old.raw"
        "$build/bench/make_old_image" "$data/old.raw" "$old.qcow2"
        "$build/bench/make_old_image" --stream "$data/old.raw" "$old.part"
        mv "$old.part" "$old.stream"
        rm "$data/old.raw"
    fi
    arguments+=(--old-image "$old.qcow2" --old-stream "$old.stream")
fi
[ -z "$json" ] || arguments+=(--json "$json")
exec "$build/bench/vmsnap-bench" --guest "$guest" --data "$data" --figures "$figures" "${arguments[@]}"

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

SUITE=bookworm
PACKAGES=ca-certificates,python3,perl,sqlite3,gcc,libc6-dev,libstb-dev,git,make,busybox-static,redis-server
PACKAGES+=,redis-tools,file,xz-utils,zstd,python3-pygments,procps,kmod,bc
DISK_MEGABYTES=3072
BOOT_TIMEOUT=${GUEST_TIMEOUT:-900} # from power-on to READY; two quiet cores need less than a quarter of it

here=$(dirname "$(readlink -f "$0")")
me=${0##*/}

usage() {
    echo "usage: $me [-m MEGABYTES] [--later SECONDS:FILE] [--force] OUTDIR" >&2
    exit 2
}

die() {
    echo "$me: $*" >&2
    exit 1
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

mkdir -p "$outdir"
outdir=$(realpath "$outdir")
work=$outdir/work
raw=$outdir/guest.raw
manifest=$outdir/guest.txt

# A dump appears under its name only when whole, and the manifest is written after all of them.
is_whole() { [ -f "$1" ] && [ "$(stat -c %s "$1")" -eq $((megabytes * 1048576)) ]; }

is_done() {
    [ -f "$manifest" ] && is_whole "$raw" || return 1
    [ -z "$later_spec" ] && return 0
    is_whole "${later_spec#*:}" && grep -qxF "later: $later_spec" "$manifest"
}

mkdir -p "$work"
exec 9>"$work/lock"
flock 9 # a second run waits for the first and then finds its result

if [ -z "$force" ] && is_done; then
    echo "$me: $raw is there already"
    cat "$manifest"
    exit 0
fi

missing=
for tool in mmdebstrap qemu-system-x86_64 mkfs.ext4 python3 cpio dpkg-deb; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || missing+=" $tool"
done
[ -z "$missing" ] || die "not installed:$missing"
export PATH=$PATH:/usr/sbin:/sbin

# The disk: a Debian of $SUITE as an ext4 image, kernel included. Depends on nothing but these names, so it is kept.
build_disk() {
    local root=$work/root version modules
    [ "$(id -u)" -eq 0 ] || die "building the guest's disk needs root (mmdebstrap, mkfs.ext4 -d)"
    echo "$me: building the guest's disk"
    rm -rf --one-file-system "$root" "${work:?}/boot" "$work/disk.id"
    mkdir -p "$work/boot"
    # The kernel is unpacked, not installed: nothing in the guest boots from its own disk. The hooks run in sh, where $1
    # is the new root; nothing in them is for this shell to expand.
    # shellcheck disable=SC2016
    timeout 900 mmdebstrap --mode=root --variant=minbase --include="$PACKAGES" \
        --customize-hook='chroot "$1" sh -c "cd /var/cache && apt-get -q -o APT::Sandbox::User=root download \
            \$(apt-cache depends linux-image-cloud-amd64 | sed -n \"s/^ *Depends: *\\(linux-image-[0-9].*\\)/\\1/p\")"' \
        --customize-hook='dpkg-deb --fsys-tarfile "$1"/var/cache/*.deb | tar -C "$1" --keep-directory-symlink -xf -' \
        --customize-hook='rm "$1"/var/cache/*.deb' \
        "$SUITE" "$root" ${MIRROR:+"$MIRROR"} >"$work/mmdebstrap.log" 2>&1 ||
        die "mmdebstrap failed, see $work/mmdebstrap.log"

    version=$(basename "$root"/lib/modules/*)
    chroot "$root" depmod "$version"
    modules=$(chroot "$root" modprobe -S "$version" -a --show-depends virtio_pci virtio_blk ext4 |
        sed -n 's/^insmod *//p' | awk '!seen[$1]++ { print $1 }')
    mkdir -p "$work/boot/initramfs/modules"
    for module in $modules; do
        cp "$root/$module" "$work/boot/initramfs/modules/"
        basename "$module" >>"$work/boot/initramfs/modules/order"
    done
    mkdir -p "$work/boot/initramfs/bin"
    cp "$root/bin/busybox" "$work/boot/initramfs/bin/busybox"
    cp "$root/boot/vmlinuz-$version" "$work/boot/vmlinuz"
    {
        echo "suite: $SUITE${MIRROR:+ from $MIRROR}"
        echo "kernel: $version"
        echo "packages: $(chroot "$root" dpkg-query -W | wc -l), list $(chroot "$root" dpkg-query -W | sha256sum | cut -c1-16)"
    } >"$work/boot/made-from"

    rm -f "$work/disk.img"
    truncate -s "${DISK_MEGABYTES}M" "$work/disk.img"
    mkfs.ext4 -q -F -L guest -U 5f0e9d3c-6f0b-4b1e-9a59-0d2f6f0a7c11 \
        -E hash_seed=0b9f8a52-3a37-4bd0-8f2e-7a55b7f2c0de,lazy_itable_init=0,lazy_journal_init=0 \
        -d "$root" "$work/disk.img"
    rm -rf --one-file-system "$root"
    echo "$disk_id" >"$work/disk.id"
}

disk_id="$SUITE $PACKAGES $DISK_MEGABYTES ${MIRROR:-}"
if [ ! -f "$work/disk.id" ] || [ "$(cat "$work/disk.id")" != "$disk_id" ]; then
    build_disk
fi

# The initramfs carries what the guest does, so a change there needs no new disk.
rm -rf "$work/initramfs"
cp -a "$work/boot/initramfs" "$work/initramfs"
mkdir -p "$work/initramfs"/{dev,proc,sys,root,bench}
install -m 755 "$here/inside/initramfs-init" "$work/initramfs/init"
install -m 755 "$here"/inside/* "$work/initramfs/bench/"
(cd "$work/initramfs" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$work/initramfs.gz"
rm -rf "$work/initramfs"

rm -f "$manifest"
arguments=(--memory "$megabytes" --kernel "$work/boot/vmlinuz" --initrd "$work/initramfs.gz" --disk "$work/disk.img"
    --work "$work" --timeout "$BOOT_TIMEOUT" --dump "$raw" --made-from "$work/boot/made-from" --manifest "$manifest")
[ -z "$later_spec" ] || arguments+=(--later "$later_spec")
exec python3 "$here/run-guest.py" "${arguments[@]}" # takes over the lock, and ends QEMU whatever happens

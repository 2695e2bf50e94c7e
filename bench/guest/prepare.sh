# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What every script here needs: the guest's disk and initramfs, made in $work. Sourced after "set -euo pipefail".

SUITE=bookworm
PACKAGES=ca-certificates,python3,perl,sqlite3,gcc,libc6-dev,libstb-dev,git,make,busybox-static,redis-server
PACKAGES+=,redis-tools,file,xz-utils,zstd,python3-pygments,procps,kmod,bc
DISK_MEGABYTES=3072
BOOT_TIMEOUT=${GUEST_TIMEOUT:-900} # from power-on to READY; two quiet cores need less than a quarter of it

export PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
me=${0##*/}

die() {
    echo "$me: $*" >&2
    exit 1
}

# enter_outdir DIR: sets outdir and work, and takes a lock that lasts as long as the process and what it becomes.
enter_outdir() {
    mkdir -p "$1"
    outdir=$(realpath "$1")
    work=$outdir/work
    mkdir -p "$work"
    exec 9>"$work/lock"
    flock 9 # a second run waits for the first and then finds its result
}

# enter_outdir_of "$@": the same for a script whose arguments are [--force] OUTDIR; sets force.
enter_outdir_of() {
    force=
    if [ "${1:-}" = --force ]; then
        force=1
        shift
    fi
    if ! [[ $# -eq 1 && -n $1 && $1 != -* ]]; then
        echo "usage: $me [--force] OUTDIR" >&2
        exit 2
    fi
    enter_outdir "$1"
}

need_tools() {
    local tool missing=
    for tool; do
        command -v "$tool" >/dev/null || missing+=" $tool"
    done
    [ -z "$missing" ] || die "not installed:$missing"
}

# The disk: a Debian of $SUITE as an ext4 image, kernel included. Depends on nothing but these names, so it is kept.
build_disk() {
    local root=$work/root version module modules
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

# The initramfs carries what the guest does, so a change there needs no new disk.
build_initramfs() {
    rm -rf "$work/initramfs"
    cp -a "$work/boot/initramfs" "$work/initramfs"
    mkdir -p "$work/initramfs"/{dev,proc,sys,root,bench}
    install -m 755 "$here/inside/initramfs-init" "$work/initramfs/init"
    install -m 755 "$here"/inside/* "$work/initramfs/bench/"
    (cd "$work/initramfs" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$work/initramfs.gz"
    rm -rf "$work/initramfs"
}

# prepare_guest MEGABYTES: makes what is not there yet, and sets machine to the options that describe it all.
prepare_guest() {
    need_tools mmdebstrap qemu-system-x86_64 mkfs.ext4 python3 cpio dpkg-deb
    disk_id="$SUITE $PACKAGES $DISK_MEGABYTES ${MIRROR:-}"
    if [ ! -f "$work/disk.id" ] || [ "$(cat "$work/disk.id")" != "$disk_id" ]; then
        build_disk
    fi
    build_initramfs
    # shellcheck disable=SC2034
    machine=(--memory "$1" --kernel "$work/boot/vmlinuz" --initrd "$work/initramfs.gz" --disk "$work/disk.img"
        --work "$work" --timeout "$BOOT_TIMEOUT" --made-from "$work/boot/made-from")
}

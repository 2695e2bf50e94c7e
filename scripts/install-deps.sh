#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian 12 packages that building needs; with --tests also those that the tests need.
# Does nothing where all are there; else works as root, or through sudo.
set -euo pipefail

packages=(
  cmake ninja-build g++ pkg-config git zstd
  liblz4-dev libzstd-dev libxxhash-dev liburing-dev libisal-dev zlib1g-dev libbz2-dev liblzma-dev liblzo2-dev librust-blake3-dev
  libcli11-dev nlohmann-json3-dev libfmt-dev libfuse3-dev fuse3
)
if [ "${1:-}" = --tests ]; then
  packages+=(
    libgtest-dev libssl-dev b3sum lz4 strace qemu-utils bzip2 xz-utils lzop
    libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients procps xen-utils-4.17 gdb
    python3 python3-lz4 python3-zstandard python3-xxhash
    qemu-system-x86 busybox-static linux-image-cloud-amd64
    clang-14 libclang-rt-14-dev libfuzzer-14-dev
  )
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q ' installed$' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || { echo "install-deps: run as root, or install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null

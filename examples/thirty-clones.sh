#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Thirty guests out of one base, which they share: a small Linux guest is booted and saved as the base, goes on a little for each user and is
# saved as a difference, and then all of these start at once, each in a QEMU of its own. Says how long that took and what memory they need.
#
#   examples/thirty-clones.sh [COUNT] [MEGABYTES]
#
# Wants vmsnap in the PATH (or in $VMSNAP), qemu-system-x86_64, a kernel in /boot, a static busybox, cpio and gzip.
set -euo pipefail

count=${1:-30}
megabytes=${2:-128}
vmsnap=${VMSNAP:-vmsnap}
kernel=$(printf '%s\n' /boot/vmlinuz-* | sort -V | tail -n 1)
work=$(mktemp -d "${TMPDIR:-/tmp}/clones.XXXXXX")
export XDG_RUNTIME_DIR=$work # where the base is registered: by default /run/vmsnap for root
cleanup() {
  jobs -p | xargs -r kill 2>/dev/null || true
  wait
  "$vmsnap" base drop --all
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

# A guest that fills some memory and then counts.
mkdir -p root/bin
cp "$(command -v busybox)" root/bin/busybox
cat >root/init <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
dd if=/dev/urandom of=/noise bs=1M count=24
n=0
while :; do
  n=$((n + 1))
  echo "beat $n"
  sleep 0.1
done
INIT
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc) | gzip -1 >initrd
qemu=(qemu-system-x86_64 -accel tcg -machine pc -m "${megabytes}M" -nodefaults -display none -nic none -no-reboot
  -kernel "$kernel" -initrd initrd -append "console=ttyS0 quiet panic=-1")

beats() { # FILE NUMBER: until its guest has counted so far
  for _ in {1..1200}; do
    [[ $(grep -c '^beat ' "$1" 2>/dev/null || true) -lt $2 ]] || return 0
    sleep 0.05
  done
  echo "no beats in $1" >&2
  exit 1
}

echo "booting the base"
"${qemu[@]}" -serial file:base.log -qmp unix:base.qmp,server=on,wait=off &
beats base.log 3
"$vmsnap" save --qmp base.qmp --resume -q -o codec=lz4 base.vmsnap
echo "saving $count users' guests"
for ((i = 1; i <= count; i++)); do
  "$vmsnap" save --qmp base.qmp --resume -q -o codec=lz4 -B base.vmsnap "user$i.vmsnap"
done
kill %1
wait

# From here on it is what a host does that has base.vmsnap and its users' files.
"$vmsnap" base load -q base.vmsnap >options # not needed: the first clone would do it
start=$(date +%s%N)
for ((i = 1; i <= count; i++)); do
  "$vmsnap" restore --clone -q --exec "user$i.vmsnap" -- "${qemu[@]}" -serial "file:$work/user$i.log" 2>"user$i.err" &
done
for ((i = 1; i <= count; i++)); do
  beats "user$i.log" 1
done
end=$(date +%s%N)

own=0
for process in $(pgrep -f "file:$work/user"); do # each QEMU, and the vmsnap that is its parent
  kilobytes=$(awk '$1 == "Anonymous:" { print $2 }' "/proc/$process/smaps_rollup" 2>/dev/null || true)
  own=$((own + ${kilobytes:-0}))
done
echo "files:   $(stat -c %s base.vmsnap) bytes of base, $(cat user*.vmsnap | wc -c) bytes of $count users"
echo "started: $count guests of $megabytes MiB in $(((end - start) / 1000000)) ms"
echo "memory:  $((own / 1024)) MiB of their own, $megabytes MiB shared"

# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What the scripts beside this one share. They run in an empty directory that is removed at the end.
set -euo pipefail

: "${VMSNAP:?the path of the vmsnap to test}"
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
legacy=$source_dir/tests/data/legacy
script=$(readlink -f "$0")
export LC_ALL=C

# Runs in a subshell of the trap too, so it names the line that failed.
fail() {
  echo "FAIL ${BASH_SOURCE[-1]##*/}:${BASH_LINENO[-2]}: $*" >&2
  exit 1
}

skip() {
  echo "SKIP: $*" >&2
  exit 77
}

requires() {
  local tool
  for tool; do command -v "$tool" >/dev/null || skip "needs $tool"; done
}

requires_strace() {
  requires strace
  strace -o /dev/null true 2>/dev/null || skip "strace may not trace here"
}

# For a test with a real guest: tests/guest/guest.py says what there is.
requires_guest() {
  requires python3
  [[ -z ${SNAP_SANITIZE:-} ]] || skip "a real guest takes too long beside a sanitizer"
  export PYTHONPATH=$source_dir/tests/guest:$source_dir/tests/cli PYTHONDONTWRITEBYTECODE=1
  python3 -c 'import guest; guest.skip_without_qemu()' || exit
}

requires_legacy() { [[ -e $legacy/$1.zst ]] || skip "needs $legacy/$1.zst"; }

# In memory where there is room: every output is synced, and a busy disk would set the pace.
room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1 || true)
((${room:-0} > 500000)) && : "${TMPDIR:=/dev/shm}"
work=$(mktemp -d "${TMPDIR:-/tmp}/vmsnap-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

vmsnap() { "$VMSNAP" "$@"; }

# expect STATUS COMMAND...: runs it with its output in ./out and ./err.
expect() {
  local want=$1 status=0
  shift
  "$@" >out 2>err || status=$?
  [[ $status == "$want" ]] || fail "'$*' ended with $status, not $want: $(tail -n 5 err)"
}

# traced INJECT PATH COMMAND...: under strace, with a fault injected into calls on PATH, or with "" into all of them.
# (A leak check cannot run under a tracer.)
traced() {
  local inject=$1 path=$2
  shift 2
  ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" \
    strace -f -qq -o trace ${path:+-P "$path"} -e trace="${inject%%:*}" -e inject="$inject" "$@"
}

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

# where_mounting_is_allowed "$@": goes on in a mount namespace of the script's own, in which it runs anew.
where_mounting_is_allowed() {
  local user
  [[ ${1:-} != inside ]] || return 0
  mkdir mountpoint
  for user in -r ''; do
    unshare -m $user mount -t tmpfs none mountpoint 2>/dev/null || continue
    unshare -m $user bash "$script" inside
    exit
  done
  skip "may not mount a tmpfs"
}

# killed_anywhere MILLISECONDS COMMAND...: a signal at any moment of a command that writes there/out leaves that as it was, and nothing beside it.
# Where it came too late, `whole` looks at what was written. `also_after SIGNAL`, where there is one, looks at what else may be left.
killed_anywhere() {
  local most=$1 old signal status
  shift
  for old in '' 'old content'; do
    for signal in INT TERM HUP KILL INT TERM KILL; do
      rm -rf there/out there/.out*
      [[ -z $old ]] || echo "$old" >there/out
      status=0
      timeout -s $signal --preserve-status "0.$(printf %03d $((RANDOM % most + 1)))" "$@" 2>err || status=$?
      case $status in
        0) whole ;;
        129 | 130 | 137 | 143) [[ $(cat there/out 2>/dev/null) == "$old" ]] || fail "$signal: the target was touched" ;;
        *) fail "$signal: status $status: $(cat err)" ;;
      esac
      # Killed just between link and rename, a whole file may stay under a hidden name.
      [[ $signal == KILL ]] || [[ $(names_in there) =~ ^(out )?$ ]] || fail "$signal: left $(names_in there)"
      if declare -F also_after >/dev/null; then also_after $signal; fi
    done
  done
}

says() { grep -qF -- "$1" err || fail "stderr does not say '$1': $(cat err)"; }
prints() { grep -qF -- "$1" out || fail "stdout does not say '$1': $(cat out)"; }
same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }
absent() { [[ ! -e $1 ]] || fail "$1 is there"; }
sha() { sha256sum "$1" | cut -d' ' -f1; }
# The names in a directory, hidden ones too, on one line.
names_in() { (cd "$1" && find . -mindepth 1 -printf '%P\n' | sort | tr '\n' ' '); }

# make_ram FILE MIB: looks like memory (zeros, text, numbers, noise, pages that come again), the same each time.
make_ram() {
  python3 - "$1" "$2" <<'PYTHON'
import random, struct, sys
rng = random.Random(20260101)
text = b"".join(b"%d: the guest was here, and so was its page cache\n" % i for i in range(4096))
noise = [rng.randbytes(4096) for _ in range(64)]
with open(sys.argv[1], "wb") as out:
    for i in range(int(sys.argv[2]) * 16):  # pieces of 64 KiB
        kind = i % 5
        if kind == 0: piece = bytes(65536)
        elif kind == 1: piece = text[i * 37 % 65536:][:65536]
        elif kind == 2: piece = b"".join(struct.pack("<IHBB", i * 8192 + n, n & 0xff, 1, 0) for n in range(8192))
        elif kind == 3: piece = b"".join(rng.choice(noise) for _ in range(16))
        else: piece = rng.randbytes(16384) + bytes(16384) + text[:16384] + bytes(16384)
        out.write(piece.ljust(65536, b"\1"))
PYTHON
}

# work_on FROM TO SEED: what a guest does to its memory: 60 pages are written, touched, zeroed or moved. Says which pages differ.
work_on() {
  python3 - "$@" <<'PYTHON'
import random, sys
rng = random.Random(int(sys.argv[3]))
old = open(sys.argv[1], "rb").read()
new = bytearray(old)
pages = len(new) // 4096
for i in range(60):
    at, other = rng.randrange(pages) * 4096, rng.randrange(pages) * 4096
    if i % 4 == 0: new[at:at + 4096] = rng.randbytes(4096)
    elif i % 4 == 1: new[at + rng.randrange(4096)] ^= 0x5A
    elif i % 4 == 2: new[at:at + 4096] = bytes(4096)
    else: new[at:at + 4096] = new[other:other + 4096]
open(sys.argv[2], "wb").write(new)
print(*[i for i in range(pages) if old[i * 4096:][:4096] != new[i * 4096:][:4096]])
PYTHON
}

# make_chain N: r0 … rN, raw memory of 4 MiB, and base.vmsnap, c1.vmsnap … cN.vmsnap, each the child of the one before.
make_chain() {
  local n before=base.vmsnap
  make_ram r0 4
  vmsnap convert -q r0 base.vmsnap
  for ((n = 1; n <= $1; n++)); do
    work_on r$((n - 1)) r$n "$n" >changed$n
    vmsnap convert -q -B $before r$n c$n.vmsnap
    before=c$n.vmsnap
  done
}

# digest_of FILE: of its content.
digest_of() { vmsnap info --output=json "$1" 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])'; }

# flip FILE OFFSET: the lowest bit of one byte.
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  printf '%b' "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# records FILE: type, offset and size of each record (SPEC 5), a line each, until the file or the chain of heads ends.
records() {
  python3 - "$1" <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
names = {1: "REGION", 2: "BLOCK", 3: "NODE", 4: "CLOSE", 5: "META", 6: "SEAL", 7: "CATALOG", 8: "PARENT"}
at = struct.unpack_from("<I", data, 12)[0]
while data[at:at + 4] == b"vmsr":
    size = 48 + struct.unpack_from("<I", data, at + 8)[0]
    print(names.get(data[at + 4], data[at + 4]), at, size)
    at += size
PYTHON
}

# record FILE TYPE: offset and size of the first record of a type.
record() { records "$1" | awk -v type="$2" '$1 == type && !seen++ { print $2, $3 }'; }

# json FILE EXPRESSION: a Python expression over what the file holds, called j.
json() { python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }

# For a test that mounts views: view.py has what Python needs for that. What is still mounted at the end is taken away.
requires_view() {
  requires fusermount3 mountpoint python3
  [[ -c /dev/fuse && -w /dev/fuse ]] || skip "needs /dev/fuse"
  export PYTHONPATH=$source_dir/tests/cli${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1
  trap 'unmount_all; rm -rf "$work"' EXIT
}

unmount_all() {
  local at
  while read -r at; do
    umount -f "$at" 2>/dev/null || true  # ends what would wait for ever
    umount -l "$at" 2>/dev/null || fusermount3 -uz "$at" 2>/dev/null || true
  done < <(awk -v work="$work/" 'index($5, work) == 1 {print $5}' /proc/self/mountinfo)
}

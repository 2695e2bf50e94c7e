#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A directory full of equal, odd and waiting things is listed in no time.
source "$(dirname "$0")/lib.sh"
requires python3 timeout

make_chain 1
mkdir d
# Children without change: all digests are equal, and each may be any other's parent but for its depth.
cp base.vmsnap d/s0.vmsnap
for n in 1 2 3; do vmsnap convert -q -B d/s$((n - 1)).vmsnap r0 d/s$n.vmsnap; done
python3 -c 'import os; [os.link(f"d/s{s}.vmsnap", f"d/x{n}-{s}") for n in range(2500) for s in range(4)]'
mkfifo d/fifo d/fifo.vmsnap
mkdir d/directory.vmsnap
ln -s . d/loop
ln -s nowhere d/dangling
ln -s fifo d/to-fifo
ln -s /dev/zero d/to-device
ln -s s0.vmsnap d/to-file
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("d/socket")'
: >d/empty
head -c 8 base.vmsnap >d/magic-alone
printf 'x' >"d/$(printf 'new\nline')"
cp base.vmsnap "d/$(printf 'esc\033[2Jape')"
status=0
timeout 60 "$VMSNAP" info --tree d >out 2>err || status=$?
[[ $status == 5 ]] || fail "status $status: $(cat err)"
prints 'not read: magic-alone: '
prints 'esc\x1b[2Jape'
(($(grep -cE '(x[0-9]+-[0-3]|s[0-3]\.vmsnap) ' out) == 10004)) || fail "$(wc -l <out) lines"
timeout 60 "$VMSNAP" info --tree --output=json d >tree.json || true
[[ $(json tree.json 'sum(f["files"] for f in j["families"])') == 10006 ]] || fail "$(json tree.json 'sum(f["files"] for f in j["families"])') files"

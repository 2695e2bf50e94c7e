#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A chain of 64 parents is read, listed and checked; one more is refused, naming the parent, and nothing is written.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram r 1
vmsnap convert -q -j1 r d0.vmsnap
for n in {1..64}; do
  printf '%d' "$n" | dd of=r bs=1 seek=$((n * 12345)) conv=notrunc status=none
  vmsnap convert -q -j1 -B d$((n - 1)).vmsnap r d$n.vmsnap
done
expect 6 vmsnap convert -q -B d64.vmsnap r d65.vmsnap
says 'vmsnap: d64.vmsnap: counts 64 parents'
absent d65.vmsnap
expect 0 vmsnap compare d64.vmsnap r
expect 0 vmsnap check -q d64.vmsnap
vmsnap info --output=json d64.vmsnap >info.json
[[ $(json info.json 'len(j["chain"]), j["depth"], j["cold_read"]["worst_files"] > 1') == '(64, 64, True)' ]] || fail "$(cat info.json)"
vmsnap info --tree --output=json . >tree.json
[[ $(json tree.json 'len(j["families"]), j["families"][0]["files"]') == '(1, 65)' ]] || fail "$(cat tree.json)"
# A chain is made shorter in place, and what builds on it stays readable.
expect 0 vmsnap rebase -q -B d0.vmsnap d60.vmsnap
rm d30.vmsnap
expect 0 vmsnap compare d64.vmsnap r

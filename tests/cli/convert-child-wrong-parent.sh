#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A parent that is missing, older, newer or other by one page is refused with 7, naming both digests, and nothing is written.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 3
right=$(digest_of c1.vmsnap)
cp r1 near
flip near 70000
vmsnap convert -q -B base.vmsnap near near.vmsnap
refuses() { # WHAT DIGEST-OF-THE-WRONG-ONE
  for command in "convert -q -O raw c2.vmsnap result" "convert -q c2.vmsnap result" "convert -q -B c2.vmsnap r3 result" "compare c2.vmsnap r2" "check c2.vmsnap" \
    "flatten c2.vmsnap result"; do
    # shellcheck disable=SC2086
    expect 7 vmsnap $command
    says "c2.vmsnap: its parent 'c1.vmsnap' with the digest $right"
    [[ -z $2 ]] || says "./c1.vmsnap has the digest $2"
    absent result
  done
}
cp c1.vmsnap kept
for wrong in base c3 near; do
  cp $wrong.vmsnap c1.vmsnap
  refuses $wrong "$(digest_of $wrong.vmsnap)"
done
cp r1 c1.vmsnap
refuses "no snapshot" ""
says './c1.vmsnap is no snapshot'
rm c1.vmsnap
refuses missing ""
says 'say where it is with --parent'
mkfifo c1.vmsnap
refuses "a pipe is not waited for" ""
rm c1.vmsnap
mv kept c1.vmsnap
expect 0 vmsnap compare c2.vmsnap r2
# Its own content, and yet not its parent: as deep as itself.
vmsnap convert -q -B c1.vmsnap r1 twin.vmsnap
[[ $(digest_of twin.vmsnap) == "$right" ]] || fail "an unchanged child has another digest"
rm c1.vmsnap
expect 7 vmsnap compare --parent twin.vmsnap c2.vmsnap r2
says 'twin.vmsnap has that digest, but as many parents'

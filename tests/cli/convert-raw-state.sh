#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a VMM keeps beside its memory file is taken along, and comes back.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_ram ram 2
head -c 70001 /dev/urandom >vm.state
printf '{"cpus":2}' >config.json
: >nothing
expect 0 vmsnap convert -q -f raw --state vmstate=vm.state --state config.json=config.json --state none=nothing ram x.vmsnap
expect 0 vmsnap info x.vmsnap
prints vmstate
prints config.json
vmsnap convert -q -f raw --state vmstate=<(cat vm.state) --state config.json=config.json --state none=nothing - piped.vmsnap < <(cat ram)
vmsnap convert -q -O raw --region vmstate piped.vmsnap - | cmp - vm.state || fail "a state through a pipe"
expect 0 vmsnap compare x.vmsnap piped.vmsnap

vmsnap convert -q -O raw --region vmstate x.vmsnap back
same back vm.state
expect 0 vmsnap convert -q -O raw --state vmstate=s1 --state config.json=s2 --state none=s3 x.vmsnap back
same back ram
same s1 vm.state
same s2 config.json
same s3 nothing
[[ $(stat -c %a s1) == 600 ]] || fail "mode $(stat -c %a s1)"

# A difference has its own states.
work_on ram ram2 1 >/dev/null
expect 0 vmsnap convert -q -f raw -B x.vmsnap --state vmstate=config.json ram2 child.vmsnap
expect 0 vmsnap convert -q -O raw --state vmstate=s1 child.vmsnap back
same back ram2
same s1 config.json

rm -f back s1
expect 8 vmsnap convert -q -O raw --state config.json=s1 child.vmsnap back
says "has no state 'config.json'"
absent back
absent s1
expect 2 vmsnap convert -q -O raw --state vmstate=s1 - back < <(cat x.vmsnap)
for wrong in vmstate =file vmstate=; do
  expect 2 vmsnap convert -q --state "$wrong" ram y.vmsnap
  says 'is no NAME=FILE'
done
expect 2 vmsnap convert -q --state a=config.json --state a=vm.state ram y.vmsnap
says 'there twice'
expect 2 vmsnap convert -q --state a=config.json x.vmsnap y.vmsnap
says '--state goes with'
expect 3 vmsnap convert -q -f raw --state a=missing ram y.vmsnap
says 'missing: cannot open'
absent y.vmsnap

# No file is written, or read, as two things.
cp x.vmsnap kept.vmsnap
rm -f s2
for file in x.vmsnap ./back s2; do
  expect 2 vmsnap convert -q -O raw --state config.json=s2 --state vmstate=$file x.vmsnap back
  says 'that file is'
done
same x.vmsnap kept.vmsnap
absent s2

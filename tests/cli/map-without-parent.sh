#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# map needs no parent: missing, wrong or damaged, the list is the same.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_chain 2
vmsnap map c2.vmsnap >want
mkdir apart
cp c2.vmsnap apart
vmsnap map apart/c2.vmsnap >have
same want have
expect 2 vmsnap map --parent . apart/c2.vmsnap # where it would not be looked for
vmsnap map - <c2.vmsnap >have
same want have
cat c2.vmsnap | vmsnap map - >have
same want have
cp base.vmsnap c1.vmsnap
vmsnap map c2.vmsnap >have
same want have
# Its own damage it does see.
read -r at bytes < <(record c2.vmsnap BLOCK)
flip c2.vmsnap $((at + bytes - 1))
expect 4 vmsnap map c2.vmsnap
says "c2.vmsnap: at offset $at: "

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The exit statuses that vmsnap(1) promises. (9 is in the tests of failing memory, 128 + N in convert-kill-leaves-nothing.sh.)
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 1
expect 0 vmsnap convert -q ram x.vmsnap
cp ram other
flip other 5
expect 1 vmsnap compare x.vmsnap other
expect 2 vmsnap convert
expect 3 vmsnap info absent
says 'vmsnap: absent: cannot open: No such file or directory'
read -r at _ < <(record x.vmsnap BLOCK)
cp x.vmsnap bad.vmsnap
flip bad.vmsnap $((at + 60))
expect 4 vmsnap convert -q -O raw bad.vmsnap back
says "vmsnap: bad.vmsnap: at offset $at: "
head -c 3000 x.vmsnap >cut.vmsnap
expect 5 vmsnap info cut.vmsnap
cp x.vmsnap later.vmsnap
printf '\2' | dd of=later.vmsnap bs=1 seek=8 conv=notrunc status=none
expect 6 vmsnap info later.vmsnap
says 'later.vmsnap: '
expect 8 vmsnap convert -q -O raw --region nothing x.vmsnap back
says "x.vmsnap: no region 'nothing'; there are: ram"
absent back
expect 4 vmsnap check ram

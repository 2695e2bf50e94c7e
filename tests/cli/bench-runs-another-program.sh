#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench becomes the vmsnap-bench beside vmsnap, else that of the PATH, with the same arguments; 8 where there is none.
source "$(dirname "$0")/lib.sh"
requires ldd

mkdir bin path none
cp "$VMSNAP" bin/vmsnap
cat >path/vmsnap-bench <<'SH'
#!/bin/sh
echo "in the path: $*"
exit 5
SH
chmod +x path/vmsnap-bench
status=0
PATH=$work/none "$work/bin/vmsnap" bench delta >out 2>err || status=$?
[[ $status == 8 ]] || fail "not installed: $status: $(cat err)"
says "vmsnap-bench is not installed: it is not in $work/bin or in the PATH"
PATH=$work/path:$PATH expect 5 bin/vmsnap bench delta --help '[a,b]' '' 'x y'
prints 'in the path: delta --help [a,b]  x y'
sed 's/in the path/beside/; s/exit 5/exit 0/' path/vmsnap-bench >bin/vmsnap-bench
chmod +x bin/vmsnap-bench
PATH=$work/path:$PATH expect 0 bin/vmsnap bench -j 3
prints 'beside: -j 3'
expect 0 bin/vmsnap bench
chmod -x bin/vmsnap-bench
status=0
bin/vmsnap bench 2>err || status=$?
[[ $status == 3 ]] || fail "a file that is no program: $status"
says 'bin/vmsnap-bench: cannot run: Permission denied'

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A target that cannot be is told before any work, and by name.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 1
expect 3 vmsnap convert ram nowhere/result
says 'nowhere/result: '
says 'No such file or directory'
mkdir directory
expect 3 vmsnap convert ram directory
says 'Is a directory'
expect 3 vmsnap convert ram ram/result
says 'Not a directory'
expect 3 vmsnap convert absent result
says 'absent: cannot open: No such file or directory'
expect 3 vmsnap convert directory result
expect 3 vmsnap convert "$(printf 'x%.0s' {1..300})" result
absent result

# Through a link to what it names; onto itself; into a device.
ln -s real.vmsnap link.vmsnap
expect 0 vmsnap convert -q ram real.vmsnap
expect 0 vmsnap convert -q -o codec=store ram link.vmsnap
[[ -L link.vmsnap ]] || fail "the link was replaced"
expect 0 vmsnap compare real.vmsnap ram
cp ram itself
expect 0 vmsnap convert -q itself itself
expect 0 vmsnap compare itself ram
expect 0 vmsnap convert -q ram /dev/null
[[ -c /dev/null ]] || fail "/dev/null was replaced"

# A closed stdout or stderr is not taken for a file.
status=0
vmsnap convert ram result 2>&- || status=$?
[[ $status == 0 ]] || fail "without stderr: $status"
expect 0 vmsnap check -q result
status=0
vmsnap convert -q ram - >&- 2>err || status=$?
[[ $status == 3 ]] || fail "without stdout: $status"

# A link stays one, wherever it points.
mkdir -p there
ln -s there/target link
expect 0 vmsnap convert -q real.vmsnap link
[[ -L link && -f there/target ]] || fail "the link was replaced"
expect 0 vmsnap check -q there/target

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What cannot be mounted is refused with its cause; no mount and no process stay.
source "$(dirname "$0")/lib.sh"
requires_view

make_chain 1
mkdir view empty
touch file
# refused STATUS MESSAGE WORD...
refused() {
  expect "$1" timeout -k 1 20 "$VMSNAP" mount "${@:3}"
  says "$2"
  ! grep -qF "$work/" /proc/self/mountinfo || fail "'$*' left a mount"
  ! pgrep -f "mount .*$work/" >/dev/null || fail "'$*' left a process"
  absent w
}
here=$work/view
refused 2 'required' base.vmsnap
refused 2 'is no option of a mount' -o nonsense base.vmsnap "$here"
refused 2 'is no option of a mount' -o cache_size base.vmsnap "$here"
refused 2 'is no option of a mount' -o 'ro,threads=' base.vmsnap "$here"
refused 2 'is no number' -o threads=many base.vmsnap "$here"
refused 2 'threads: 1 to 16' -o threads=0 base.vmsnap "$here"
refused 2 'threads: 1 to 16' -o threads=65 base.vmsnap "$here"
refused 2 'at least 1M' -o cache_size=1000K base.vmsnap "$here"
refused 2 'is no number' -o cache_size=99999999999999999999T base.vmsnap "$here"
refused 2 'for one snapshot' --record "$work/w" empty "$here"
refused 2 'for one snapshot' -o prefetch=file empty "$here"
refused 3 'none.vmsnap' none.vmsnap "$here"
refused 8 'none: No such file' base.vmsnap "$work/none"
refused 8 'is no directory' base.vmsnap "$work/file"
refused 4 'r0' r0 "$here"
refused 5 'file' file "$here"
refused 3 'none' --prefetch none base.vmsnap "$here"
refused 4 'line 1' --prefetch r0 base.vmsnap "$here"

head -c 5000 base.vmsnap >cut.vmsnap
refused 5 'cut.vmsnap' cut.vmsnap "$here"
cp base.vmsnap bad.vmsnap
flip bad.vmsnap 20
refused 4 'bad.vmsnap' bad.vmsnap "$here"
mv base.vmsnap empty
refused 7 "c1.vmsnap" c1.vmsnap "$here"
mv empty/base.vmsnap .

# A directory in use as such is no hindrance; a name with commas and spaces is none either.
mkdir 'a b,c\d' 'm,n o'
cp base.vmsnap 'a b,c\d/x,y.vmsnap'
expect 0 vmsnap mount 'a b,c\d/x,y.vmsnap' 'm,n o'
same 'm,n o/ram' r0
[[ $(findmnt -n -o SOURCE "m,n o") == "$work/a b,c\\d/x,y.vmsnap" ]] || fail "$(findmnt -n -o SOURCE "m,n o")"
expect 0 vmsnap umount 'm,n o'

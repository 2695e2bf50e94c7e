#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A user without rights mounts and unmounts, and nobody else looks in; with allow_other others do, as far as the snapshot's mode lets them.
source "$(dirname "$0")/lib.sh"
requires cmp setpriv
requires_view
[[ $(id -u) == 0 ]] || skip "needs root, to be others"
[[ -u $(command -v fusermount3) ]] || skip "needs fusermount3 with its set-user-ID bit"

owner=$(id -u nobody) other=$(id -u daemon)
make_ram ram 2
vmsnap convert -q ram x.vmsnap
mkdir view
chmod 755 . view
chmod 644 ram
chown "$owner:$owner" view x.vmsnap
as() { setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"; }
as $owner test -x "$VMSNAP" || skip "$VMSNAP is not everybody's"

expect 0 as $owner "$VMSNAP" mount x.vmsnap view
as $owner cmp view/ram ram || fail "the owner reads"
[[ $(as $owner stat -c %u.%a view/ram) == $owner.600 ]] || fail "$(as $owner stat -c %u.%a view/ram)"
expect 2 as $other cmp view/ram ram
expect 2 cmp view/ram ram # root neither
expect 3 as $owner bash -c 'exec 7<view/ram; "$VMSNAP" umount view'
as $owner bash -c 'exec 7<view/ram; "$VMSNAP" umount --lazy view && cmp - ram <&7' || fail "cannot read on"
expect 8 as $owner "$VMSNAP" umount view
expect 0 as $owner "$VMSNAP" mount x.vmsnap view
expect 3 as $other "$VMSNAP" umount view
expect 0 as $owner "$VMSNAP" umount view
expect 3 as $other "$VMSNAP" mount x.vmsnap view
says x.vmsnap
! mountpoint -q view || fail "mounted what it may not read"

# Root may not look in either, and yet waits for what is still to be written.
mkdir recordings
chown "$owner:$owner" recordings
for number in 1 2 3 4; do
  expect 0 as $owner "$VMSNAP" mount --record recordings/$number x.vmsnap view
  as $owner cmp view/ram ram || fail "the owner reads"
  expect 0 vmsnap umount view
  [[ -s recordings/$number ]] || fail "ended before the server"
done

# Others.
for mode in 600 640 644; do
  chmod $mode x.vmsnap
  expect 0 vmsnap mount -o allow_other x.vmsnap view
  as $owner cmp view/ram ram || fail "$mode: the owner"
  [[ $mode == 644 ]] && want=0 || want=2
  expect $want as $other cmp view/ram ram
  [[ $mode == 600 ]] && want=2 || want=0
  expect $want setpriv --reuid=$other --regid=$owner --clear-groups cmp view/ram ram
  expect 0 vmsnap umount view
done
expect 0 vmsnap mount x.vmsnap view
expect 2 as $owner cmp view/ram ram
expect 0 vmsnap umount view

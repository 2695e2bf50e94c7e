#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full disk is an error that names the target, whose name is not given.
source "$(dirname "$0")/lib.sh"
requires python3 unshare

where_mounting_is_allowed "$@"

make_ram ram 40
mkdir small
mount -t tmpfs -o size=4M none small
for options in "-O vmsnap ram" "-O vmsnap -o codec=store -j1 ram"; do
  # shellcheck disable=SC2086
  expect 3 vmsnap convert -q $options small/out
  says "small/out: "
  says "No space left on device"
  [[ -z $(names_in small) ]] || fail "left $(names_in small)"
done
vmsnap convert -q ram ram.vmsnap
expect 3 vmsnap convert -q -O raw ram.vmsnap small/out
says "small/out: "
expect 3 vmsnap convert -q -O raw ram.vmsnap /dev/full
status=0
vmsnap info ram.vmsnap >/dev/full 2>err || status=$?
[[ $status == 3 ]] || fail "info into a full device: $status"
says 'standard output: cannot write: No space left on device'
[[ -z $(names_in small) ]] || fail "left $(names_in small)"
(($(stat -f -c %f small) * 10 > $(stat -f -c %b small) * 9)) || fail "the room was not given back"
umount small

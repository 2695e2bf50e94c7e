#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The VM state of an old image goes in and comes out byte for byte.
source "$(dirname "$0")/lib.sh"
requires zstd cmp

for image in q2008-16m-one kvm77-16m-nokvm patched-16k-blocks q0106-16m-live3 syn-ramv1-16m; do
  requires_legacy $image.qcow2
  zstd -dqf "$legacy/$image.qcow2.zst" -o image.qcow2
  expect 0 vmsnap convert -q image.qcow2 x.vmsnap
  expect 0 vmsnap convert -O vmstate x.vmsnap state
  says identical
  [[ $(head -c 4 state) == QEVM ]] || fail "$image: not a VM state"
  expect 0 vmsnap convert -q --lossless image.qcow2 lossless.vmsnap
  expect 0 vmsnap convert -q -O vmstate lossless.vmsnap again
  same state again
  expect 0 vmsnap info state
  prints vmstate
  expect 0 vmsnap convert -q state y.vmsnap
  expect 0 vmsnap compare x.vmsnap y.vmsnap
  expect 0 vmsnap convert -q -O vmstate image.qcow2 direct
  same state direct
  vmsnap convert -q -O vmstate - - <x.vmsnap | cmp - state || fail "$image: by pipe"
done

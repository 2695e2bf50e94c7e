#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The memory of images that old QEMU and KVM wrote, equal to what a debugger read out of them.
source "$(dirname "$0")/lib.sh"
requires zstd sha256sum
# image, snapshot, size of the RAM, sha256 of the RAM, sha256 of all phys_ram
while read -r image snapshot ram_bytes sha_ram sha_phys; do
  requires_legacy "$image"
  zstd -dqf "$legacy/$image.zst" -o image.qcow2
  expect 0 vmsnap info image.qcow2
  prints " $snapshot "
  expect 0 vmsnap convert -q -l "$snapshot" image.qcow2 x.vmsnap
  expect 0 vmsnap check -q x.vmsnap
  expect 0 vmsnap convert -q -O raw x.vmsnap ram
  [[ $(stat -c %s ram) == "$ram_bytes" && $(sha ram) == "$sha_ram" ]] || fail "$image: RAM"
  expect 0 vmsnap convert -q -O raw --region all x.vmsnap phys
  [[ $(sha phys) == "$sha_phys" ]] || fail "$image: phys_ram"
  expect 0 vmsnap convert -q -O raw -l "$snapshot" image.qcow2 direct
  same ram direct
  expect 0 vmsnap compare x.vmsnap ram
done <<'TRUTH'
q2008-16m-one.qcow2 one 16777216 75890b156d80e6b47a8784de62013bef6d7007facab57f3ab16f97544c555144 5032d664b8381526e361d601bd149277c0fcdb2807d2d6874e9116231a75ae71
q2008-32m-disk.qcow2 a 33554432 29c0339a5fae46cc4865afbc9cbcf6bb9a5f50ddb9d3a2af74add75f9806bfab d9673906ff02dfd970b3300825f4451cabc57e727b5e459bef46c7e8192d1f4a
q2008-32m-disk.qcow2 b 33554432 e6967c3694202f304ee4ca1333bbfdc7dbed1308ac1437c8ee1e94f16e8a1d7f ec233fc7d76afffd6682a70f4bd09a9c0e800c84a7b000ea138f8bb62c334f60
kvm77-16m-nokvm.qcow2 k 16777216 253826f9d951ea53cc71b9769ab5abb621c4ab6e5b2f19dc105fc3ef907970f3 24a8e95462cb3def2c83bbc7c6e2fb8f886ab29daf836de5c26245812c879085
patched-16k-blocks.qcow2 one 16777216 75890b156d80e6b47a8784de62013bef6d7007facab57f3ab16f97544c555144 5032d664b8381526e361d601bd149277c0fcdb2807d2d6874e9116231a75ae71
q0106-16m-live3.qcow2 live 16777216 135e1538e9ecb7600e20944253fba82193c90f86776d3e0494abeda6ff34b64d c33b855c51573cd5bdfd093f8b12281c2d40d9f4db62babf557b5c835b48b87d
syn-ramv1-16m.qcow2 v1 16777216 75890b156d80e6b47a8784de62013bef6d7007facab57f3ab16f97544c555144 5032d664b8381526e361d601bd149277c0fcdb2807d2d6874e9116231a75ae71
TRUTH

zstd -dqf "$legacy/q2008-32m-disk.qcow2.zst" -o image.qcow2
rm x.vmsnap
expect 8 vmsnap convert -q -l nobody image.qcow2 x.vmsnap
expect 0 vmsnap convert -q -l 2 image.qcow2 by-id.vmsnap # an ID is tried before a name
expect 0 vmsnap convert -q -l b image.qcow2 by-name.vmsnap
same by-id.vmsnap by-name.vmsnap
absent x.vmsnap
expect 2 vmsnap convert -q image.qcow2 x.vmsnap
says "one must be named; 'vmsnap info' lists them"
absent x.vmsnap

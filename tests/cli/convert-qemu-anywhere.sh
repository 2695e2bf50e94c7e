#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A migration stream from a file, a pipe or a FIFO into a file or a pipe, and out again, pages that come again or not.
source "$(dirname "$0")/lib.sh"
requires python3 cmp
mkdir spool there
export TMPDIR=$PWD/spool

make_ram ram 6
for rounds in 0 4; do
  python3 "$source_dir/tests/support/migration_stream.py" ram --rounds $rounds --truth truth >guest.mig
  expect 0 vmsnap convert -q guest.mig there/file.vmsnap
  expect 0 vmsnap check -q there/file.vmsnap
  expect 0 vmsnap convert -q - there/redirected.vmsnap <guest.mig
  cat guest.mig | vmsnap convert -q - there/piped.vmsnap
  mkfifo fifo
  cat guest.mig >fifo &
  expect 0 vmsnap convert -q fifo there/fifo.vmsnap
  wait $!
  vmsnap convert -q guest.mig - | cat >there/to-pipe.vmsnap
  cat guest.mig | vmsnap convert -q - - | cat >there/between-pipes.vmsnap
  mkfifo out-fifo
  cat out-fifo >there/to-fifo.vmsnap &
  expect 0 vmsnap convert -q guest.mig out-fifo
  wait $!
  for made in redirected piped fifo to-pipe between-pipes to-fifo; do same there/file.vmsnap there/$made.vmsnap; done

  # Any other output is made of the same.
  cat guest.mig | vmsnap convert -q -O raw - - | cmp - truth || fail "-O raw"
  expect 0 vmsnap convert -q -O qemu there/file.vmsnap there/again.mig
  vmsnap convert -q -O qemu there/file.vmsnap - | cmp - there/again.mig || fail "-O qemu to a pipe"
  cat there/file.vmsnap | vmsnap convert -q -O qemu - - | cmp - there/again.mig || fail "-O qemu between pipes"
  cat guest.mig | vmsnap convert -q -O qemu - - | cmp - there/again.mig || fail "from a stream to a stream"
  vmsnap convert -q -O qemu there/again.mig - | cmp - there/again.mig || fail "a stream that changes each time"
  expect 0 vmsnap convert -q there/again.mig there/again.vmsnap
  expect 0 vmsnap compare there/file.vmsnap there/again.vmsnap
  vmsnap convert -q -O raw there/again.vmsnap - | cmp - truth || fail "content"

  # A child of what the guest was before.
  vmsnap convert -q -B there/file.vmsnap guest.mig there/child.vmsnap
  expect 0 vmsnap compare there/file.vmsnap there/child.vmsnap
  rm -f fifo out-fifo there/*
done
expect 0 vmsnap convert -q guest.mig there/file.vmsnap
expect 0 vmsnap info there/file.vmsnap
prints pc-i440fx-7.2
[[ -z $(names_in spool) ]] || fail "left $(names_in spool)"

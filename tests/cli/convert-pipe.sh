#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Standard input and output in every place, and the same memory out of them.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_ram ram 8
vmsnap convert -q ram file.vmsnap
vmsnap convert -q - - <ram >redirected.vmsnap
same file.vmsnap redirected.vmsnap
cat ram | vmsnap convert -q - - | cat >piped.vmsnap # its size is not known beforehand: other bytes, the same content
expect 0 vmsnap check -q piped.vmsnap
expect 0 vmsnap compare file.vmsnap piped.vmsnap

cat piped.vmsnap | vmsnap convert -q -O raw - back
same ram back
cat piped.vmsnap | vmsnap convert -q -O raw - - | cmp - ram || fail "pipe to pipe"
vmsnap convert -q -O raw file.vmsnap - | cmp - ram || fail "file to pipe"
cat file.vmsnap | vmsnap convert -q -O raw --region ram - - | cmp - ram || fail "a region by name"
cat file.vmsnap | vmsnap convert -q -O raw --region all - - | cmp - ram || fail "all regions"
cat file.vmsnap | vmsnap convert -q -o codec=lz4 - again.vmsnap
expect 0 vmsnap compare file.vmsnap again.vmsnap
vmsnap convert -q -O raw file.vmsnap /dev/stdout | cmp - ram || fail "/dev/stdout"
cat file.vmsnap | vmsnap check -q - || fail "check of a pipe"
expect 8 vmsnap convert -q -O raw --region nowhere - x <file.vmsnap
expect 8 vmsnap convert -q -O raw --region nowhere - x < <(cat file.vmsnap)
absent x

# Who reads no more is not an error to talk about.
status=0
vmsnap convert -O raw file.vmsnap - 2>err | head -c 10 >/dev/null || status=${PIPESTATUS[0]}
[[ $status == 141 && ! -s err ]] || fail "closed pipe: $status, $(cat err)"

# A size that is not known beforehand and is no whole number of pages.
for size in 0 1 4095 4097 65537 600001; do
  head -c "$size" /dev/urandom >odd
  vmsnap convert -q -f raw - odd.vmsnap < <(cat odd)
  cat odd.vmsnap | vmsnap convert -q -O raw - - | cmp - odd || fail "$size bytes, pipe to pipe"
  cat odd.vmsnap | vmsnap convert -q -O raw - back
  same odd back
  cat odd.vmsnap | vmsnap convert -q - copy.vmsnap
  expect 0 vmsnap compare odd.vmsnap copy.vmsnap
done

# Whoever reads a pipe goes first, else nobody does.
nice_of() { cut -d' ' -f19 "/proc/$1/stat"; }
mkfifo fifo
"$VMSNAP" convert -q -O raw file.vmsnap - >fifo &
writer=$!
exec 3<fifo
head -c 4096 <&3 >/dev/null
[[ $(nice_of $writer) -eq $(($(nice_of $$) + 5)) ]] || fail "priority $(nice_of $writer) beside $(nice_of $$)"
exec 3<&-
wait $writer || true

# Who was to write failed at once.
expect 5 vmsnap convert -q - nothing.vmsnap < <(true)
says 'is empty'
absent nothing.vmsnap

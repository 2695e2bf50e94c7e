#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A disk that is full when the second snapshot, or the spool of pages that came again, is written: an error, and nothing is left.
source "$(dirname "$0")/lib.sh"
requires python3 unshare

where_mounting_is_allowed "$@"

make_ram ram 16
python3 "$source_dir/tests/support/migration_stream.py" ram --rounds 3 --pages 1500 --truth truth >guest.mig
vmsnap convert -q -o codec=store guest.mig whole.vmsnap
mkdir small
mount -t tmpfs -o size=$(($(stat -c %s whole.vmsnap) * 3 / 2)) none small
free_blocks() { stat -f -c %f small; }
before=$(free_blocks)

# The first snapshot has room, the second has not.
expect 3 vmsnap convert -q -o codec=store guest.mig small/out
says "small/out: "
says "No space left on device"
[[ -z $(names_in small) ]] || fail "left $(names_in small)"
[[ $(free_blocks) == "$before" ]] || fail "the room was not given back"

# The spool has none.
head -c $(($(free_blocks) * 4096 - 1000000)) /dev/zero >small/filler
filled=$(free_blocks)
TMPDIR=$PWD/small expect 3 vmsnap convert -q guest.mig out.vmsnap
says "spool file"
says "No space left on device"
absent out.vmsnap
[[ $(names_in small) == "filler " && $(free_blocks) == "$filled" ]] || fail "left $(names_in small)"

# Between pipes, all is there.
status=0
cat guest.mig | TMPDIR=$PWD/small vmsnap convert -q - - 2>err >piped || status=${PIPESTATUS[1]}
[[ $status == 3 && ! -s piped ]] || fail "between pipes: $status: $(cat err)"
[[ $(names_in small) == "filler " && $(free_blocks) == "$filled" ]] || fail "left $(names_in small)"
umount small

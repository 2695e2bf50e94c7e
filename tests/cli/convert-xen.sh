#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A save file of xl from a file, a pipe and a FIFO, and back byte for byte; Xen's own checker takes what comes back.
source "$(dirname "$0")/lib.sh"
requires zstd cmp python3
xen=$source_dir/tests/data/xen
zstd -dq --long=28 "$xen/tiny-1.save.zst" -o x.save

expect 0 vmsnap info x.save
expect 0 vmsnap convert -q x.save x.vmsnap
expect 0 vmsnap check -q x.vmsnap
expect 0 vmsnap convert -O xen x.vmsnap back.save
says "identical to the save file that was imported"
same x.save back.save
expect 0 vmsnap convert -q -O xen x.save again.save
same x.save again.save
vmsnap convert -q -O xen x.vmsnap - | cmp - x.save || fail "into a pipe"
(($(stat -c %s x.vmsnap) < 1500000)) || fail "large: $(stat -c %s x.vmsnap)"

cat x.save | vmsnap convert -q - piped.vmsnap
same x.vmsnap piped.vmsnap
mkfifo fifo
cat x.save >fifo &
expect 0 vmsnap convert -q fifo fifo.vmsnap
wait
same x.vmsnap fifo.vmsnap

# Guest frame n is at 4096 n of the memory. This guest wrote its generation and a formula there (tiny.S of the fixture).
expect 0 vmsnap convert -q -O raw x.save ram
[[ $(stat -c %s ram) == $((0xff000 * 4096)) ]] || fail "size of the memory"
python3 - <<'PYTHON' || fail "a page that is not where its frame number says"
import mmap, struct
save = open("x.save", "rb").read()
memory = open("ram", "rb")
ram = mmap.mmap(memory.fileno(), 0, access=mmap.ACCESS_READ)
at = save.index(b"XENF") - 8 + 24 + 16
bodies = 0
while (head := struct.unpack_from("<II", save, at))[0] != 0:
    if head[0] == 1:
        count = struct.unpack_from("<I", save, at + 8)[0]
        page = at + 16 + 8 * count
        for entry in struct.unpack_from(f"<{count}Q", save, at + 16):
            if entry >> 60 == 15: continue
            assert ram[entry * 4096:entry * 4096 + 4096] == save[page:page + 4096], hex(entry)
            page, bodies = page + 4096, bodies + 1
    at += 8 + (head[1] + 7) // 8 * 8
assert bodies == 1041, bodies
PYTHON

# A live migration recorded: pages of the first pass come again in a second one, a shorter record, and xl says farewell at the end.
python3 - <<'PYTHON'
import struct
save = open("x.save", "rb").read()
at = save.index(b"XENF") - 8 + 24 + 16
end = None
frames = []
while (head := struct.unpack_from("<II", save, at))[0] != 0:
    if head[0] == 1:
        count = struct.unpack_from("<I", save, at + 8)[0]
        frames += [e for e in struct.unpack_from(f"<{count}Q", save, at + 16) if e >> 60 != 15]
        end = at + 8 + head[1]
    at += 8 + (head[1] + 7) // 8 * 8
def record(frames, fill):
    body = struct.pack("<II", len(frames), 0) + struct.pack(f"<{len(frames)}Q", *frames)
    body += b"".join(bytes([fill]) * 4096 for _ in frames)
    return struct.pack("<II", 1, len(body)) + body
again = record(frames[::3], 3) + record(frames[5:300:7], 7)
open("live.save", "wb").write(save[:end] + again + save[end:] + b"domain is yours, you are cleared to unpause\0")
PYTHON
expect 0 vmsnap convert -q live.save live.vmsnap
expect 0 vmsnap check -q live.vmsnap
expect 0 vmsnap convert -q -O xen live.vmsnap live.back
same live.save live.back
cat live.save | vmsnap convert -q - - | cat >live-piped.vmsnap
expect 0 vmsnap compare live.vmsnap live-piped.vmsnap
expect 0 vmsnap convert -q -B x.vmsnap live.save child.vmsnap
expect 0 vmsnap convert -q -O xen child.vmsnap live.back
same live.save live.back

# What is no whole save file leaves nothing.
for size in 40 900 2200 2000000 12640000; do
  head -c "$size" x.save >cut.save
  expect 5 vmsnap convert -q cut.save cut.vmsnap
  says "offset $size"
  absent cut.vmsnap
done
make_ram raw 1
vmsnap convert -q raw raw.vmsnap
expect 8 vmsnap convert -q -O xen raw.vmsnap none.save
says "not made from a Xen save file"
absent none.save

checker=/usr/lib/xen-4.17
[[ -e $checker/bin/verify-stream-v2 && -x /usr/bin/python3 ]] || skip "all but Xen's own checker: it needs xen-utils-4.17"
for file in back.save live.back; do
  PYTHONPATH=$checker/lib/python /usr/bin/python3 $checker/bin/verify-stream-v2 -f xl -i $file >out 2>err || fail "$file: $(cat out err)"
done

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# working-set stores a recording, prints it and takes it out; nothing else of the file changes. A recording is hostile text.
source "$(dirname "$0")/lib.sh"
requires python3 cmp

make_ram ram 4
vmsnap convert -q --name 'pc ram' ram plain.vmsnap
expect 8 vmsnap working-set plain.vmsnap
says 'plain.vmsnap: has no working set'
digest=$(digest_of plain.vmsnap)
first="# vmsnap working set of the snapshot $digest: region, offset, bytes"
recorded() { printf '%s\n' "$first" "$@" >w; }
recorded 'pc%20ram 0x10000 0x3000' 'pc%20ram 0x0 0x1000' 'pc%20ram 0x3ff000 0x1000'
cp plain.vmsnap x.vmsnap
chmod 640 x.vmsnap
ln -s x.vmsnap link
expect 0 vmsnap working-set --store w link
says 'link: working set stored: 3 ranges, 20.0 KiB'
[[ -L link && $(stat -c %a x.vmsnap) == 640 ]] || fail "link or mode"
expect 0 vmsnap working-set x.vmsnap
same w out
expect 0 vmsnap check x.vmsnap
[[ $(digest_of x.vmsnap) == "$digest" ]] || fail "another digest"
expect 0 vmsnap compare x.vmsnap ram
seal=$(record plain.vmsnap SEAL)
cmp -n "${seal% *}" plain.vmsnap x.vmsnap || fail "changed what stands before"

vmsnap working-set --output=json x.vmsnap >set.json
[[ $(json set.json '[(r["region"], r["offset"], r["bytes"]) for r in j["ranges"]]') == "[('pc ram', 65536, 12288), ('pc ram', 0, 4096), ('pc ram', 4190208, 4096)]" ]] || fail "$(cat set.json)"
vmsnap info --output=json x.vmsnap >info.json
[[ $(json info.json 'j["working_set"]') == "{'ranges': 3, 'bytes': 20480}" ]] || fail "$(cat info.json)"
expect 0 vmsnap info x.vmsnap
prints 'working set: 3 ranges, 20.0 KiB'

# It goes along where the content does, children too.
vmsnap convert -q -o codec=lz4 x.vmsnap other.vmsnap
vmsnap working-set other.vmsnap | cmp - w || fail "convert lost it"
cat x.vmsnap | vmsnap convert -q -O vmsnap - - >piped.vmsnap
vmsnap working-set piped.vmsnap | cmp - w || fail "convert lost it in a pipe"
work_on ram ram2 1 >changed
vmsnap convert -q -B x.vmsnap --name 'pc ram' ram2 child.vmsnap
printf '%s\n' '# vmsnap working set of the snapshot ?' 'pc%20ram 2000 1000' >w2
expect 0 vmsnap working-set --store - child.vmsnap <w2
says 'standard input: was recorded with another snapshot, ?'
vmsnap working-set child.vmsnap >before
vmsnap flatten -q child.vmsnap
vmsnap working-set child.vmsnap | cmp - before || fail "flatten lost it"

# Stored again, in place of what is there; taken out; damaged.
recorded 'pc%20ram 0x0 0x1000'
expect 0 vmsnap working-set -q --store w x.vmsnap
[[ ! -s err ]] || fail "-q says $(cat err)"
vmsnap working-set x.vmsnap | cmp - w || fail "not replaced"
read -r at _ < <(record x.vmsnap 132)
flip x.vmsnap $((at + 48 + 6))
expect 4 vmsnap working-set x.vmsnap
says "working set's check does not fit"
expect 4 vmsnap check x.vmsnap
prints "working set's check does not fit"
prints 'nothing lost'
expect 0 vmsnap info x.vmsnap
prints 'working set: cannot be read'
expect 0 vmsnap convert -q x.vmsnap y.vmsnap
says 'the working set is left behind'
same y.vmsnap plain.vmsnap
expect 0 vmsnap working-set --remove x.vmsnap
same x.vmsnap plain.vmsnap

refused() { # MESSAGE: w, by a file that stays as it is
  expect 4 vmsnap working-set --store w x.vmsnap
  says "w: line $1"
  same x.vmsnap plain.vmsnap
}
for line in 'pc%20ram 0x0' 'pc%20ram 0x0 0x1000 0' 'pc%2 0x0 0x1000' 'pc%zzram 0 1000' 'pc%20ram -1 0x1000' 'pc%20ram 0x0 1g' \
  'pc%20ram 10000000000000000 1000' 'pc%20ram'; do
  recorded '# a comment' '' "$line"
  refused '4: '
  says 'is no region, offset and number of bytes'
done
recorded 'pc%20ram 0 1000' 'pc.ram 0x0 0x1000'
refused "3: the snapshot has no memory 'pc.ram'"
recorded 'pc%20ram 0x400000 0x1000'
refused "2: ends past the region's 0x400000 bytes"
recorded 'pc%20ram 0x1000 0xfffffffffffff000'
refused '2: ends past'
recorded 'pc%20ram 0x10 0x1000'
refused '2: is not whole pages'
recorded 'pc%20ram 0 0'
refused '2: no bytes'
recorded 'pc%20ram 2000 1000' 'pc%20ram 0 1000' 'pc%20ram 0 4000'
refused '4: has a page that line 3 has'
recorded
sed -i 's/vmsnap/another/' w
refused '1: is not the first line'
head -c 100000 /dev/urandom >w
refused '1: is not the first line'
: >w
refused '1: is not the first line'
python3 -c "print('$first'); [print('pc%20ram', hex(i % 1024 * 4096), '1000') for i in range(65537)]" >w
refused '65538: more than 65536 ranges'
recorded
expect 2 vmsnap working-set --store w x.vmsnap
expect 2 vmsnap working-set --store w --remove x.vmsnap
expect 2 vmsnap working-set --remove --output=json x.vmsnap
expect 2 vmsnap working-set --remove - <x.vmsnap
expect 3 vmsnap working-set --store none x.vmsnap
same x.vmsnap plain.vmsnap
[[ $(names_in .) != *.tmp* ]] || fail "left $(names_in .)"

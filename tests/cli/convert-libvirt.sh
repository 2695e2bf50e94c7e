#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Save images that libvirt 9.0 and 11.3 wrote, in each of its formats: the memory is the guest's, and the way back keeps the header.
source "$(dirname "$0")/lib.sh"
requires zstd gzip bzip2 xz sha256sum python3
data=$source_dir/tests/data/libvirt
v113=e6797da46fb6b085d14f696159d2bb8eb31f15f9b590690ca3ec15308f0bf7a2 # what pmemsave gave of the guests
v90=929d4cb84471fa1866822077956d2b4ac1dd9089a478bf26dc8330d33369b5d6

for image in v113-raw v113-sparse v90-raw; do zstd -dqf "$data/tiny-$image.sav.zst" -o $image.sav; done
cp "$data/tiny-v113-lzop.sav" v113-lzop.sav
cp "$data/tiny-v113-zstd-running.sav" v113-zstd.sav
# front FILE FORMAT [MAGIC]: header, XML and cookie of a raw image, with another format
front() {
  python3 - "$@" <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
end = 92 + struct.unpack_from("<I", data, 20)[0]
magic = (sys.argv[3:] or ["LibvirtQemudSave"])[0].encode()
sys.stdout.buffer.write(magic + data[16:28] + struct.pack("<I", int(sys.argv[2])) + data[32:end])
PYTHON
}
stream() { tail -c +$((93 + $(od -An -tu4 -j 20 -N 4 "$1"))) "$1"; }
# libvirt calls these programs, with these arguments.
{ front v90-raw.sav 1 && stream v90-raw.sav | gzip -c; } >v90-gzip.sav
{ front v90-raw.sav 2 && stream v90-raw.sav | bzip2 -c; } >v90-bzip2.sav
{ front v90-raw.sav 3 && stream v90-raw.sav | xz -c -3; } >v90-xz.sav
# As they come out of a pipe.
{ front v90-raw.sav 0 LibvirtQemudPart && stream v90-raw.sav && head -c 92 v90-raw.sav; } >v90-pipe.sav
front v90-raw.sav 3 >front
{ front v90-raw.sav 3 LibvirtQemudPart && stream v90-raw.sav | xz -c -3 && head -c 92 front; } >v90-xz-pipe.sav

for image in v113-{raw,sparse,lzop,zstd} v90-{raw,gzip,bzip2,xz,pipe,xz-pipe}; do
  truth=${image%%-*}
  expect 0 vmsnap convert -q $image.sav x.vmsnap
  expect 0 vmsnap convert -q -O raw x.vmsnap ram
  [[ $(sha ram) == "${!truth}" ]] || fail "$image: RAM"
  cat $image.sav | vmsnap convert -q - piped.vmsnap
  same x.vmsnap piped.vmsnap

  expect 0 vmsnap convert -q -O libvirt x.vmsnap x.sav
  vmsnap convert -q -O libvirt x.vmsnap - | cmp - x.sav || fail "$image: another image in a pipe"
  front $image.sav 0 >front
  cmp -n "$(stat -c %s front)" front x.sav || fail "$image: another header or XML"
  expect 0 vmsnap convert -q x.sav again.vmsnap
  for region in all qemu.stream.devices; do
    vmsnap convert -q -O raw --region $region x.vmsnap one
    vmsnap convert -q -O raw --region $region again.vmsnap two
    same one two
  done
  expect 0 vmsnap info x.vmsnap
  prints "source.format            libvirt"
  prints "libvirt.domain           tinyfix"
done
expect 0 vmsnap convert -q v113-zstd.sav x.vmsnap
expect 0 vmsnap info x.vmsnap
prints "libvirt.format           zstd"
prints "libvirt.was_running      1"

# What `virsh dump` leaves: the stream alone, compressed.
stream v90-raw.sav >bare
for compress in 'gzip -c' 'bzip2 -c' 'xz -c -3' 'zstd -c'; do
  $compress <bare >dump
  expect 0 vmsnap convert -q dump x.vmsnap
  cat dump | vmsnap convert -q - - | cmp - x.vmsnap || fail "$compress: another snapshot from a pipe"
  expect 0 vmsnap convert -q -O raw x.vmsnap ram
  [[ $(sha ram) == "$v90" ]] || fail "$compress: RAM"
  expect 0 vmsnap info x.vmsnap
  prints "source.compression       ${compress%% *}"
done
# Memory that begins like a compressed file is memory.
python3 -c 'import sys; sys.stdout.buffer.write(b"\x1f\x8b\x08\0" + bytes(range(256)) * 255 + bytes(252))' >memory1
gzip -c ram >memory2
for memory in memory1 memory2; do
  expect 0 vmsnap convert -q $memory x.vmsnap
  cat $memory | vmsnap convert -q - - | vmsnap convert -q -O raw - back
  same $memory back
done
expect 0 vmsnap convert -q -f raw dump x.vmsnap
expect 0 vmsnap convert -q -O raw x.vmsnap back
same dump back

# Another snapshot needs the domain's XML.
expect 0 vmsnap convert -q bare x.vmsnap
expect 8 vmsnap convert -q -O libvirt x.vmsnap y.sav
says "name a file with the domain's XML with --xml"
absent y.sav
echo "<domain type='qemu'><name>mine</name></domain>" >mine.xml
expect 0 vmsnap convert -q -O libvirt --xml mine.xml x.vmsnap y.sav
expect 0 vmsnap convert -q y.sav y.vmsnap
expect 0 vmsnap info y.vmsnap
prints "libvirt.domain           mine"
vmsnap convert -q -O raw y.vmsnap ram
[[ $(sha ram) == "$v90" ]] || fail "--xml: RAM"
expect 2 vmsnap convert -q -O libvirt --xml bare x.vmsnap z.sav
expect 2 vmsnap convert -q --xml mine.xml x.vmsnap z.vmsnap
says "--xml goes with -O libvirt"

# Half of an image leaves nothing.
for cut in 50 5000 100000 300000; do
  for image in v113-lzop v90-raw v90-xz-pipe; do
    (($(stat -c %s $image.sav) > cut)) || continue
    head -c $cut $image.sav >half.sav
    expect 5 vmsnap convert -q half.sav z.vmsnap
    absent z.vmsnap
  done
done

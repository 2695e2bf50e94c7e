#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A guest that libvirt saved goes on after it went through a snapshot: from `virsh save` and from `virsh dump`, both with gzip.
# libvirtd runs in namespaces of its own, with empty directories in place of the system's.
source "$(dirname "$0")/lib.sh"
requires libvirtd virsh unshare gzip
requires_guest
((EUID == 0)) || skip "libvirtd needs root"

places=(/etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /run/libvirt)
if [[ -z ${SNAP_IN_NAMESPACE:-} ]]; then
  unshare --mount --pid --fork true 2>/dev/null || skip "may not make namespaces here"
  made=()
  for place in "${places[@]}"; do [[ -d $place ]] || { mkdir -p "$place" && made+=("$place"); }; done
  trap 'rm -rf "$work"; ((${#made[@]} == 0)) || rmdir "${made[@]}" 2>/dev/null || true' EXIT
  status=0
  # All that is started in there dies with it.
  SNAP_IN_NAMESPACE=1 TMPDIR=$work unshare --mount --pid --fork --kill-child --mount-proc bash "$script" || status=$?
  exit "$status"
fi

for place in "${places[@]}"; do
  mkdir -p "own$place"
  mount --bind "own$place" "$place" || skip "may not mount here"
done
# libvirtd looks its default user up, even if it is told another one.
for file in passwd group; do
  cp /etc/$file own/$file
  grep -q ^libvirt-qemu: own/$file || tail -n 1 own/$file | sed 's/^[^:]*:/libvirt-qemu:/' >>own/$file
  mount --bind own/$file /etc/$file || skip "may not mount here"
done
cat >/etc/libvirt/qemu.conf <<'CONF'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
save_image_format = "gzip"
dump_image_format = "gzip"
CONF
cat >libvirtd.conf <<CONF
unix_sock_dir = "$PWD"
auth_unix_ro = "none"
auth_unix_rw = "none"
CONF
libvirtd -f "$PWD/libvirtd.conf" -p "$PWD/libvirtd.pid" >libvirtd.log 2>&1 &
daemon=$!
trap 'rm -rf "$work"' EXIT
# A restore of an image that is not as libvirt thinks waits for ever.
on() { timeout 60 virsh -q -c "qemu:///system?socket=$PWD/libvirt-sock" "$@"; }
up() { on version >/dev/null 2>&1; }
while ! up; do
  kill -0 $daemon 2>/dev/null && ((SECONDS < 60)) || skip "libvirtd does not start here: $(tail -n 3 libvirtd.log)"
  sleep 0.1
done

mib=128
read -r kernel initramfs < <(python3 -c 'import guest; print(guest.newest_kernel(), guest.initramfs_path())')
cat >domain.xml <<XML
<domain type='qemu'>
  <name>counts</name>
  <memory unit='MiB'>$mib</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$kernel</kernel>
    <initrd>$initramfs</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <devices>
    <emulator>$(command -v qemu-system-x86_64)</emulator>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='$PWD/console' append='on'/><target port='0'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
XML

tick() { awk '/^TICK/ { split($3, ok, "="); split($4, of, "="); if (ok[2] != of[2] + 0) exit; n = $2 } END { print n + 0 }' console; }
# waits until the guest has counted further than TICK
counts_on() {
  local until=$((SECONDS + 100))
  while ((SECONDS < until)); do
    (($(tick) > $1)) && return
    sleep 0.1
  done
  fail "the guest does not count on from $1: $(tail -n 3 console)"
}
# ram FILE: what the paused guest's memory holds
ram() {
  on qemu-monitor-command --hmp counts "pmemsave 0 $((mib << 20)) \"$PWD/$1\"" >/dev/null
  [[ $(stat -c %s "$1") == $((mib << 20)) ]] || fail "no pmemsave of $mib MiB"
}
same_ram() {
  ram "$1"
  same "$1" truth
}

on create domain.xml >/dev/null
counts_on 2
on suspend counts >/dev/null
ram truth
on dumpxml --migratable counts >live.xml
on save --running counts "$PWD/a.sav" >/dev/null
before=$(tick)
expect 0 vmsnap convert -q a.sav a.vmsnap
expect 0 vmsnap info a.vmsnap
prints "libvirt.format           gzip"
prints "libvirt.domain           counts"
expect 0 vmsnap convert -q -O raw --region pc.ram a.vmsnap a.ram
same a.ram truth
expect 0 vmsnap convert -q -O libvirt a.vmsnap "$PWD/b.sav"
rm a.sav
[[ $(on save-image-dumpxml b.sav) == *'<name>counts</name>'* ]] || fail "libvirt does not read the XML of b.sav"

on restore --paused b.sav >/dev/null
same_ram b.ram
on dump counts "$PWD/dump" >/dev/null
on destroy counts >/dev/null
on restore b.sav >/dev/null # was saved as running
counts_on "$before"
on destroy counts >/dev/null

[[ $(head -c 2 dump | od -An -tx1) == " 1f 8b" ]] || fail "virsh dump did not compress"
expect 0 vmsnap convert -q dump c.vmsnap
expect 8 vmsnap convert -q -O libvirt c.vmsnap c.sav
expect 0 vmsnap convert -q -O libvirt --xml live.xml c.vmsnap c.sav
: >console
on restore c.sav >/dev/null # was paused
same_ram c.ram
on resume counts >/dev/null
counts_on "$before"
on destroy counts >/dev/null

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# As mount.fuse.vmsnap it takes what mount(8) gives its helpers; a service manager hears when the mount can be read, and when it ends.
source "$(dirname "$0")/lib.sh"
requires cmp
requires_view

make_ram ram 2
vmsnap convert -q ram x.vmsnap
mkdir -p view sbin
ln -s "$VMSNAP" sbin/mount.fuse.vmsnap
help_mount() { sbin/mount.fuse.vmsnap "$@"; }

expect 0 help_mount x.vmsnap view -o rw,noauto,x-systemd.automount,cache_size=8M
[[ ! -s out && ! -s err ]] || fail "says $(cat out err)"
same view/ram ram
[[ $(findmnt -n -o SOURCE,FSTYPE view) == "$work/x.vmsnap fuse.vmsnap" ]] || fail "$(findmnt -n view)"
expect 0 vmsnap umount view
expect 0 help_mount x.vmsnap view -s -v -n -t fuse.vmsnap -N /proc/self/ns/mnt -o ro,defaults,user,nofail,_netdev,x-a=b,comment=c
[[ $(findmnt -n -o OPTIONS view) == ro,* ]] || fail "$(findmnt -n view)"
expect 0 vmsnap umount view
expect 0 help_mount x.vmsnap view -f
! mountpoint -q view || fail "-f mounts"
expect 2 help_mount x.vmsnap
expect 2 help_mount x.vmsnap view more
expect 2 help_mount x.vmsnap view -o nonsense
expect 2 help_mount x.vmsnap view -X
expect 3 help_mount none view
expect 8 help_mount x.vmsnap none
! mountpoint -q view || fail "mounted nevertheless"

# With mount(8) itself, where it may find it.
if [[ $(id -u) == 0 && ! -e /sbin/mount.fuse.vmsnap ]] && unshare -m true 2>/dev/null; then
  unshare -m bash -euc '
    mkdir over
    mount -t tmpfs none over
    mkdir over/upper over/work
    mount -t overlay -o lowerdir=/usr/sbin,upperdir=over/upper,workdir=over/work none /usr/sbin 2>/dev/null || exit 0
    ln -s "$VMSNAP" /usr/sbin/mount.fuse.vmsnap
    echo "$PWD/x.vmsnap $PWD/view fuse.vmsnap ro,cache_size=8M 0 0" >fstab
    mount -T fstab "$PWD/view"
    cmp view/ram ram
    umount view
    mount -t fuse.vmsnap x.vmsnap view
    cmp view/ram ram
    umount view
    echo by mount >told'
  [[ -e told ]] || echo "mount(8) itself was not tried: no overlay here"
fi

python3 - <<'PYTHON'
import os, signal, socket
from view import View, bytes_of

for address in os.path.abspath("notify"), "\0" + os.path.abspath("abstract"):
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.settimeout(60)
    heard.bind(address)
    with View("x.vmsnap", environment={"NOTIFY_SOCKET": address.replace("\0", "@")}) as view:
        assert "READY=1" in heard.recv(4096).decode().splitlines()
        file = open("view/ram", "rb")
        assert file.read() == bytes_of("ram")
        view.process.send_signal(signal.SIGTERM)
        assert heard.recv(4096).decode().splitlines() == ["STOPPING=1"]
        assert view.process.poll() is None
        file.close()
        view.ended()
# A manager that does not listen is no hindrance.
for address in os.path.abspath("nobody"), "", "relative", "/" + "x" * 200:
    with View("x.vmsnap", environment={"NOTIFY_SOCKET": address}): pass
PYTHON

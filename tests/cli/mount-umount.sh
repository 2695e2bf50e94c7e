#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A view in use is unmounted lazily, by command or signal: who reads goes on to the end, and the server ends with the last of them.
source "$(dirname "$0")/lib.sh"
requires_view

make_chain 1
python3 - <<'PYTHON'
import errno, mmap, os, random, signal, sys, time
from view import View, bytes_of, is_mounted, places, refused, refuses, vmsnap, wait_until

truth = bytes_of("r1")

class Readers:
    """That read until they are told to end: by read and by a mapping, of files that they opened before."""
    def __init__(self):
        go_on, self.end = os.pipe()
        ready, up = os.pipe()
        self.children = []
        for number in range(4):
            if (child := os.fork()) == 0:
                os.close(self.end)
                try: self.read(number, go_on, up)
                except BaseException: sys.excepthook(*sys.exc_info())
                os._exit(1)
            self.children.append(child)
        os.close(go_on), os.close(up)
        for _ in self.children: assert os.read(ready, 1)
        os.close(ready)

    def read(self, number, go_on, up):
        rng = random.Random(number)
        fd = os.open("view/ram", os.O_RDONLY)
        memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        os.write(up, b"1")
        os.set_blocking(go_on, False)
        for offset, length in places(rng, len(truth), 256 << 10):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            seen = memory[offset:offset + length] if number == 0 else os.pread(fd, length, offset)
            assert seen == truth[offset:offset + length]
            try:
                if os.read(go_on, 1) == b"": os._exit(0)
            except BlockingIOError: pass

    def stop(self):
        os.close(self.end)
        return [os.waitpid(child, 0)[1] for child in self.children]

with View("c1.vmsnap") as view:
    readers = Readers()
    for _ in range(20): refused(3, "is in use", "umount", "view")
    assert bytes_of("view/ram") == truth
    assert readers.stop() == [0] * 4

def lazily(): vmsnap("umount", "--lazy", "view")
for take_away in lazily, signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
    with View("c1.vmsnap") as view:
        readers = Readers()
        here = os.open("view", os.O_PATH)
        if take_away is lazily: take_away()
        else: view.process.send_signal(take_away)
        wait_until("its going", lambda: not is_mounted("view"), 10)
        assert os.listdir("view") == []
        refused(8, "no view is mounted", "umount", "view")
        with View("base.vmsnap") as second:  # a new one in the same place, meanwhile
            assert bytes_of("view/ram") == bytes_of("r0")
            time.sleep(0.2)
            assert view.process.poll() is None, "it left its readers"
            assert readers.stop() == [0] * 4
            os.close(here)
            view.ended()
            assert bytes_of("view/ram") == bytes_of("r0") and is_mounted("view")

# Nobody uses it: a signal ends it at once. Somebody does: the second one.
with View("c1.vmsnap") as view:
    view.process.terminate()
    view.ended()
assert not is_mounted("view")
with View("c1.vmsnap", status=128 + signal.SIGTERM) as view:
    file = os.open("view/ram", os.O_RDONLY)
    view.process.terminate()
    wait_until("its going", lambda: not is_mounted("view"), 10)
    view.process.terminate()
    view.ended()
    refuses([errno.ENOTCONN], os.pread, file, 1 << 20, 1 << 20)
    refuses([errno.ENOTCONN], os.close, file)
PYTHON

# By other ways than its name; where there is nothing of ours.
vmsnap mount c1.vmsnap view
exec 7<view/ram
expect 3 vmsnap umount view/
exec 7<&-
expect 0 vmsnap umount "./view/../view/"
expect 8 vmsnap umount view
says 'view: no view is mounted there'
expect 8 vmsnap umount none
says none
expect 8 vmsnap umount r0
expect 2 vmsnap umount
# In the background the command waits for what the server still writes.
vmsnap mount --record w c1.vmsnap view
cat view/ram >/dev/null
expect 0 vmsnap umount view
[[ -s w ]] || fail "no recording"
if mount -t tmpfs none view 2>/dev/null; then
  expect 8 vmsnap umount view
  mountpoint -q view || fail "took away what is no view"
  umount view
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot on a file system that does not answer holds up who looks at it, and nobody who reads another one.
source "$(dirname "$0")/lib.sh"
requires timeout
requires_view

make_ram ram 4
vmsnap convert -q ram x.vmsnap
vmsnap convert -q --state inner=x.vmsnap ram outer.vmsnap
mkdir shelf
mv x.vmsnap shelf/good
ln -s ../below/state/inner shelf/slow
python3 - <<'PYTHON'
import os, signal, subprocess, time
from view import PAGE, View, bytes_of

truth = bytes_of("ram")

def look(): return subprocess.Popen(["timeout", "-s", "KILL", "60", "cat", "view/slow/ram"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

with View("outer.vmsnap", "below") as below, View("shelf", "view", "-o", "threads=1"):
    with open("view/good/ram", "rb", buffering=0) as file:
        file.read(PAGE)
        below.process.send_signal(signal.SIGSTOP)
        try:
            looks = [look() for _ in range(12)]
            time.sleep(1.2)  # past the second for which the kernel knows what a name is
            assert all(one.poll() is None for one in looks), "nothing is slow"
            # What is open is read, and also found again: each of the slow one's lookups alone would take all who look.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            end = time.monotonic() + 10
            assert file.read() == truth[PAGE:]
            assert subprocess.run(["cmp", "view/good/ram", "ram"], timeout=20).returncode == 0
            assert time.monotonic() < end
        finally:
            below.process.send_signal(signal.SIGCONT)
    assert all(one.communicate()[0] == truth and one.returncode == 0 for one in looks)
PYTHON

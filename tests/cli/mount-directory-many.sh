#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Of a mounted directory any number of snapshots can be looked at; what nobody looks at any more is closed soon.
source "$(dirname "$0")/lib.sh"
requires_view

make_ram ram 1
vmsnap convert -q ram x.vmsnap
mkdir many
for ((n = 0; n < 100; n++)); do ln x.vmsnap many/$n; done
ulimit -Sn 64
python3 - <<'PYTHON'
import os
from view import View, bytes_of, wait_until

truth = bytes_of("ram")
with View("many") as view:
    def open_files(): return len(os.listdir(f"/proc/{view.process.pid}/fd"))
    before = open_files()
    with open("view/0/ram", "rb", buffering=0) as first:
        for number in range(100):
            assert bytes_of(f"view/{number}/info.json").startswith(b"{")
            if number % 20 == 0: assert bytes_of(f"view/{number}/ram") == truth
        # One is in use.
        wait_until("the others' end", lambda: open_files() < before + 20, 30)
        assert first.read() == truth
    assert bytes_of("view/99/ram") == truth
PYTHON

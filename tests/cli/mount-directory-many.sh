#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Of a mounted directory more snapshots can be looked at, one after the other, than may be open at once.
source "$(dirname "$0")/lib.sh"
requires_view

make_ram ram 1
vmsnap convert -q ram x.vmsnap
mkdir many
for ((n = 0; n < 100; n++)); do ln x.vmsnap many/$n; done
ulimit -n 64
python3 - <<'PYTHON'
from view import View, bytes_of

truth = bytes_of("ram")
with View("many"):
    with open("view/0/ram", "rb", buffering=0) as first:
        for number in range(100):
            assert bytes_of(f"view/{number}/info.json").startswith(b"{")
            if number % 20 == 0: assert bytes_of(f"view/{number}/ram") == truth
        assert first.read() == truth
PYTHON

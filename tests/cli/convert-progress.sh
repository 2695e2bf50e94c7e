#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Progress and summary go to stderr: shown where asked for, not in the way where not.
source "$(dirname "$0")/lib.sh"
requires python3

make_ram ram 48
expect 0 vmsnap convert ram x.vmsnap
[[ $(wc -l <err) == 1 && ! -s out ]] || fail "more than a summary: $(cat err)"
grep -qE '^vmsnap: x.vmsnap: 48.0 MiB -> [0-9.]+ MiB \([0-9.]+ %\), [0-9.]+ s, [0-9.]+ [KMG]iB/s$' err || fail "$(cat err)"
expect 0 vmsnap convert -q -p ram x.vmsnap
[[ ! -s err ]] || fail "-q is not quiet: $(cat err)"
expect 0 vmsnap convert -p -j1 -o level=16 ram x.vmsnap
grep -qE '[0-9.]+ %, [0-9.]+ [KMG]iB/s, [0-9:]+ left' err || fail "no progress: $(tr '\r' '\n' <err)"
tr '\r' '\n' <err | awk '/ %,/ { sub(/ %,.*/, ""); if ($1 + 0 < last || $1 > 100) exit 1; last = $1 + 0 }' || fail "progress goes back"
expect 0 vmsnap convert -O raw x.vmsnap back
says 'MiB -> 48.0 MiB'

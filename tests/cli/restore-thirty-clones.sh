#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The example of the README, with three guests instead of thirty.
source "$(dirname "$0")/lib.sh"
requires_guest
requires cpio gzip pgrep

expect 0 "$source_dir/examples/thirty-clones.sh" 3 96
prints 'started: 3 guests of 96 MiB in '
prints ' MiB of their own, 96 MiB shared'
[[ -z $(names_in "$work" | tr ' ' '\n' | grep clones || true) ]] || fail "something is left"

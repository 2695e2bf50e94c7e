#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Guest memory is not poured over a terminal.
source "$(dirname "$0")/lib.sh"
requires python3 script
script -qec true /dev/null >/dev/null 2>&1 || skip "no pseudo-terminal to be had"

make_ram ram 1
vmsnap convert -q ram x.vmsnap
script -qec "'$VMSNAP' convert -O raw x.vmsnap -" /dev/null >out && fail "wrote to a terminal"
prints 'is a terminal'

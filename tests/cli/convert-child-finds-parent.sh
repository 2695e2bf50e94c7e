#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The parent is found beside the child, where --parent names it or its directory, and among several by its content.
source "$(dirname "$0")/lib.sh"
requires python3

make_chain 2
cd "$work" && mkdir there elsewhere empty
expect 0 vmsnap compare c2.vmsnap r2
mv c2.vmsnap there
expect 7 vmsnap compare there/c2.vmsnap r2 # the working directory is not beside it
expect 0 vmsnap compare --parent . there/c2.vmsnap r2
expect 0 vmsnap compare --parent empty --parent . there/c2.vmsnap r2
expect 0 vmsnap check -q --parent base.vmsnap --parent c1.vmsnap there/c2.vmsnap
mv c1.vmsnap there
expect 0 vmsnap check -q --parent . there/c2.vmsnap
mv there/c1.vmsnap elsewhere/renamed
expect 7 vmsnap check -q --parent elsewhere --parent . there/c2.vmsnap
expect 0 vmsnap check -q --parent elsewhere/renamed --parent base.vmsnap there/c2.vmsnap
expect 0 vmsnap convert -q --parent elsewhere/renamed --parent . -O raw there/c2.vmsnap back
same r2 back
# A wrong one of the right name is passed over where another place has the right one.
cp base.vmsnap there/c1.vmsnap
expect 0 vmsnap check -q --parent elsewhere/renamed --parent . there/c2.vmsnap
ln -s ../elsewhere/renamed empty/c1.vmsnap
expect 0 vmsnap check -q --parent empty --parent . there/c2.vmsnap
# The name of the parent's link is not what it is remembered by.
vmsnap convert -q -B empty/c1.vmsnap --parent . r1 by-link.vmsnap
vmsnap info --parent elsewhere --parent . by-link.vmsnap >out
prints elsewhere/renamed

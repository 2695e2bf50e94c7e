#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# compile.sh ROUND NAME...: compiles single-file libraries of Debian's libstb-dev, as something new in each round.
set -e
round=$1
shift
mkdir -p /var/lib/bench/build
cd /var/lib/bench/build
for name; do
    printf '#define %s_IMPLEMENTATION\n#include <stb/stb_%s.h>\nint round_%s;\n' "STB_${name^^}" "$name" "$round" >"$name.c"
    gcc -O1 -g -c "$name.c" -o "$name-$round.o"
done

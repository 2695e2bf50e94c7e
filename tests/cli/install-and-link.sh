#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A program that knows only what cmake --install put there links the library: by find_package and by pkg-config.
source "$(dirname "$0")/lib.sh"
requires cmake ninja pkg-config cc c++ python3 objdump
[[ -z ${SNAP_SANITIZE:-} ]] || skip "a program without sanitizers cannot link a library with them"

expect 0 cmake --install "$SNAP_BUILD_DIR" --prefix "$PWD/first"
mv first installed # the tree does not know where it was put
library=$PWD/$(dirname "$(find installed -name libsnap.so)")
if find installed -name '*.a' -o -path '*/src/*' | grep .; then fail "more was installed than a user needs"; fi
objdump -p "$library/libsnap.so" >headers # whole: a grep at the end of a pipe may be done before objdump is
grep -q 'SONAME *libsnap\.so\.0$' headers || fail "SONAME"

make_ram ram 1
truncate -s +100 ram # pages 0 to 256, the last one short
expect 0 vmsnap convert -q -f raw ram x.vmsnap

reads_pages() { # PROGRAM
  local page region
  expect 0 "$1" x.vmsnap
  region=$(awk '$1 == "memory" { print $3 }' out)
  for page in 17 255 256; do
    expect 0 "$1" x.vmsnap "$region" $page
    cut -c14-61 out | python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))' >back
    dd if=ram bs=4096 skip=$page count=1 status=none | cmp - back || fail "page $page by $1"
  done
  expect 1 "$1" x.vmsnap "$region" 257
  says "so no page 257"
  flip x.vmsnap 40
  expect 1 "$1" x.vmsnap
  flip x.vmsnap 40
}

expect 0 cmake -S "$SNAP_SOURCE_DIR/examples" -B build -G Ninja -DCMAKE_PREFIX_PATH="$PWD/installed"
expect 0 cmake --build build
reads_pages build/read_page

export PKG_CONFIG_PATH=$library/pkgconfig LD_LIBRARY_PATH=$library
read -ra flags <<<"$(pkg-config --cflags --libs vmsnap)"
expect 0 cc -std=c99 -D_POSIX_C_SOURCE=200809L -o read_page "$SNAP_SOURCE_DIR/examples/read_page.c" "${flags[@]}"
reads_pages ./read_page

cat >version.cpp <<'CPP'
#include <snap/import.h>
#include <snap/snap.h>
#include <cstdio>
int main() { return snap::format_from_name("qcow2") && std::puts(snap_get_version()) > 0 ? 0 : 1; }
CPP
expect 0 c++ -std=c++20 -o version version.cpp "${flags[@]}"
expect 0 ./version
prints "$(pkg-config --modversion vmsnap)"

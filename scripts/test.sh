#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sets up and runs the tests on a fresh Debian 12:
#   release   everything but the corpora of the fuzz targets, which the next stage runs
#   asan      unit tests and the command line (but what takes long, or is about times, kills and equal bytes), and each fuzz target over
#             its corpus and 3 s more, under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan      what runs on several threads, under ThreadSanitizer; of tests with several numbers of threads not those with none
# usage: test.sh [STAGE…]     all of them without one
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

scripts/install-deps.sh --tests || exit 1
jobs=$(nproc)
failed=()
# The sanitizers of GCC 12 and clang 14 stumble over much address space randomisation.
fixed=()
if setarch "$(uname -m)" -R true 2> /dev/null; then fixed=(setarch "$(uname -m)" -R); fi

# Sanitized code is slow to compile; this halves it, keeps line numbers in reports, and leaves assert() on.
quick_build=(-DCMAKE_C_FLAGS_RELWITHDEBINFO='-O1 -g1' -DCMAKE_CXX_FLAGS_RELWITHDEBINFO='-O1 -g1')

build() { # PRESET [CMAKE-OPTION…] -- [TARGET…]
  local preset=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  rm -f "build/$preset/junit.xml"
  cmake --preset "$preset" "${options[@]}" > "build/$preset.log" 2>&1 || { cat "build/$preset.log"; return 1; }
  cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"} > "build/$preset.log" 2>&1 || { tail -50 "build/$preset.log"; return 1; }
  printf "=== %s built after %d s\n" "$preset" $((SECONDS - start))
}

run_tests() { # PRESET CTEST-OPTION…
  local as=()
  [ "$1" = release ] || as=("${fixed[@]}")
  "${as[@]}" ctest --preset "$1" -j "$jobs" --output-junit junit.xml "${@:2}"
}

stage_release() { build release -DSNAP_BUILD_TESTS=ON -DSNAP_BUILD_BENCH=ON -DSNAP_REPLAY_CORPUS=OFF -- && run_tests release; }
not_with_asan='^Exponential|^Child.MayHaveOther|TakesASizeOver4GiB|^Vectors.GoodOnes.*(Steps|Restored)|^Writer.GivesTheSameBytes|^cli.*(same-bytes|kill|progress)'
stage_asan() {
  build asan "${quick_build[@]}" -DSNAP_FUZZ_SECONDS=3 -- && run_tests asan -E "$not_with_asan" && return
  for found in build/asan/tests/fuzz/found/*-*; do
    [ ! -f "$found" ] || { echo "$found, in base64:"; base64 "$found"; }
  done
  return 1
}
stage_tsan() {
  build tsan "${quick_build[@]}" -DSNAP_UNIT_TESTS='/(cache|legacy_fixtures|qemu_clone|qemu_stream|ranges|reader|restore|shared_parent|writer)_test' -- \
    snap_unit snap_io_faults && run_tests tsan \
    -R 'Threads|SharedParent|Restore|Writer|Cache|Stream|QemuClone|LegacyFixture|^Reader\.' -E 'QemuStreamRandom|IoFaults.*/0$|Restore.*, 0, |GivesTheSameBytesHowever'
}

mkdir -p build
[ $# -gt 0 ] || set -- release asan tsan
for stage in "$@"; do
  printf '\n=== %s\n' "$stage"
  start=$SECONDS
  "stage_$stage" || failed+=("$stage")
  printf '=== %s took %d s\n' "$stage" $((SECONDS - start))
done
if [ ${#failed[@]} -gt 0 ]; then
  for stage in "${failed[@]}"; do scripts/failed-tests.py "$stage" "build/$stage/junit.xml"; done
  echo "FAILED: ${failed[*]}"
  exit 1
fi
echo "All passed: $*"

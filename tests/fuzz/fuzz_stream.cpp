// SPDX-License-Identifier: Apache-2.0
// Any bytes as a snapshot that is read front to back. What is taken whole that way is the same snapshot to the seeking reader,
// unless its index, at which a front-to-back reader need not look, is wrong.
#include "fuzz/judge.h"
#include "fuzz/mutate.h"

using namespace snap;
using namespace snap::test;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return mutate_container(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  Kept kept;
  const auto result = read_through(file, kept, &fixed_parent());
  if (!result) return 0;
  demand(result->file_bytes == size, "a stream that was not read to its end");
  auto source = memory_source(file);
  auto reader = Reader::open(*source, {.parent = parent_for(file)});
  if (!reader) return 0;
  demand((*reader)->digest() == result->digest && (*reader)->metadata() == result->metadata, "two ways to read, two snapshots");
  return 0;
}

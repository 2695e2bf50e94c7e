// SPDX-License-Identifier: Apache-2.0
// Any bytes as a snapshot that is opened and read at random, restored, and asked about its index.
#include "fuzz/judge.h"
#include "fuzz/mutate.h"

using namespace snap;
using namespace snap::test;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return mutate_container(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  auto source = memory_source(file);
  auto reader = Reader::open(*source, {size % 3 == 0 ? 0 : std::size_t{1} << 20});
  if (!reader) {
    static_cast<void>(feature_name(*source, 0));
    return 0;
  }
  constexpr std::uint64_t kMost = 8u << 20;
  std::vector<RegionRead> batch;
  std::vector<Bytes> out;
  out.reserve(16);
  for (std::size_t region = 0; region < (*reader)->regions().size() && region < 8; ++region) {
    const RegionInfo& info = (*reader)->regions()[region];
    static_cast<void>((*reader)->block_digest(region, 0));
    if (info.size > 0) {
      out.emplace_back(static_cast<std::size_t>(std::min<std::uint64_t>(info.size, 3 * kPage)));
      batch.push_back({region, (info.size - out.back().size()) / kPage * kPage, out.back()});
    }
    Pages pages;
    const bool readable = read_region(**reader, region, pages, kMost);
    if (info.size > kMost) continue;
    Bytes memory(info.size);
    const bool restored = restore_to_memory(**reader, region, memory, {.threads = 0}).has_value();
    demand(restored == readable, "a region that can be read or restored, but not both");
    Pages found;
    keep(found, region, 0, memory);
    demand(!restored || found == pages, "a region restored to other bytes");
  }
  if ((*reader)->read_batch(batch)) {
    for (const RegionRead& read : batch) {
      Bytes again(read.out.size());
      demand((*reader)->read(read.region, read.offset, again).has_value(), "a batch that could be read and a read that could not");
      demand(std::equal(again.begin(), again.end(), read.out.begin()), "a batch of other bytes");
    }
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Any bytes as a snapshot that is opened and read at random, restored, and asked about its index.
#include "fuzz/judge.h"
#include "fuzz/mutate.h"
#include "snap/working_set.h"

using namespace snap;
using namespace snap::test;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return mutate_container(data, size, max_size, seed);
}

namespace {

// What a child says of its changes is so, and applied over the parent's bytes they give the child's.
void demand_changes(Reader& reader, std::size_t region, bool readable, const Bytes& content) {
  const RegionInfo& info = reader.regions()[region];
  Bytes base(content.size());
  if (Reader* const parent = reader.parent(); parent != nullptr) {
    if (const auto counterpart = parent->find(info.kind, info.name)) {
      const std::size_t there = static_cast<std::size_t>(std::min<std::uint64_t>(base.size(), parent->regions()[*counterpart].size));
      demand(parent->read(*counterpart, 0, std::span(base).first(there)).has_value(), "a parent that cannot be read");
    }
    Bytes applied = base;
    const bool done = apply_changes(reader, region, applied, {.threads = 0}).has_value();
    demand(done == readable, "changes that can be read or applied, but not both");
    demand(!done || applied == content, "changes applied to other bytes");
  }
  std::uint64_t least = 0;
  std::vector<bool> told((content.size() + kPage - 1) / kPage);
  const bool visited = visit_changes(reader, region, [&](const ChangedRange& range) -> Result<void> {
    demand(range.offset % kPage == 0 && range.offset >= least && range.length != 0, "changes out of their order");
    demand(range.offset < content.size() && range.length <= content.size() - range.offset, "changes outside the region");
    least = range.offset + range.length;
    for (std::uint64_t at = range.offset; at < least; at += kPage) {
      told[at / kPage] = true;
      demand(!readable || !range.zero || content[at] == std::byte{0}, "a page that did not become zero");
    }
    return {};
  }).has_value();
  demand(visited || !readable, "changes that can be read, but not told");
  for (std::size_t page = 0; readable && page < told.size(); ++page) {
    const std::size_t at = page * kPage;
    const std::size_t bytes = std::min(kPage, content.size() - at);
    demand(told[page] || std::equal(content.begin() + static_cast<std::ptrdiff_t>(at), content.begin() + static_cast<std::ptrdiff_t>(at + bytes), base.begin() + static_cast<std::ptrdiff_t>(at)), "a change that is not told");
  }
}

// Its ranges are ones that the regions have, and without it nothing else is lost.
void demand_working_set(RandomSource& source, Reader& reader) {
  const auto ranges = read_working_set(source);
  if (!ranges) return;
  demand(working_set_fault(*ranges, reader.regions()) == nullptr, "a working set that cannot be");
  Bytes without;
  auto sink = memory_sink(without);
  if (!write_with_working_set(source, {}, *sink)) return;
  auto rest = memory_source(without);
  const auto again = Reader::open(*rest, {.without_parent = true});
  demand(again.has_value() && (*again)->digest() == reader.digest(), "another snapshot without its working set");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  auto source = memory_source(file);
  Reader* const parent = parent_for(file);
  auto reader = Reader::open(*source, {.cache_bytes = size % 3 == 0 ? 0 : std::size_t{1} << 20, .parent = parent});
  if (!reader) {
    static_cast<void>(feature_name(*source, 0));
    static_cast<void>(read_parent_info(*source));
    return 0;
  }
  const auto info_of_parent = read_parent_info(*source);
  demand(info_of_parent.has_value() && info_of_parent->parent == (*reader)->parent_ref() && info_of_parent->depth == (*reader)->depth(), "two answers about the parent");
  demand_working_set(*source, **reader);
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
    demand_changes(**reader, region, readable, memory);
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

// SPDX-License-Identifier: Apache-2.0
// Small samples to be damaged, and what must hold of every damaged file.
#pragma once

#include <cstring>

#include "format/wire.h"
#include "support/sample.h"

namespace snap::test {

enum class SmallKind { kTiny, kHoles };

/// Files of a few KiB that hold every kind of record and of page.
inline Sample small_sample(Codec codec, SmallKind kind) {
  Sample sample;
  sample.options.codec = codec;
  sample.options.block_bytes = 1u << 14;
  Random random(77);
  const auto letters = [&](std::size_t bytes) {
    Bytes page(bytes);
    for (std::size_t i = 0; i < bytes; ++i) page[i] = static_cast<std::byte>('a' + (i / 16) % 3 + (i % 61 == 0 ? random.below(20) : 0));
    return page;
  };
  if (kind == SmallKind::kTiny) {
    sample.metadata = {{"vm.name", "tiny"}};
    sample.add(RegionKind::kMemory, "ram", letters(kPage + 300));
    sample.regions[0].content.resize(kPage);
    sample.regions[0].info.size = kPage;
    sample.regions[0].info.placements = {{4096, 0, kPage}};
    return sample;
  }
  // Zero blocks, zero pages, copies of pages in the same block, of another block, of another region, a short last page.
  const Bytes page = letters(kPage);
  Bytes ram(std::size_t{11} * kPage + 100);
  const auto put = [&](std::size_t number) { std::copy(page.begin(), page.end(), ram.begin() + static_cast<std::ptrdiff_t>(number * kPage)); };
  put(1);
  put(3);
  put(9);
  std::fill(ram.end() - 100, ram.end(), std::byte{'x'});
  sample.add(RegionKind::kMemory, "ram", std::move(ram));
  Bytes state(2 * kPage);
  std::copy(page.begin(), page.end(), state.begin() + kPage);
  sample.add(RegionKind::kState, "dev", std::move(state));
  sample.regions[1].size_unknown = true;
  return sample;
}

/// Files that differ in nothing but the content of their blocks.
inline Sample sibling_sample(std::uint64_t seed) {
  Sample sample;
  sample.options.codec = Codec::kStore;
  sample.options.block_bytes = 1u << 14;
  sample.options.dedup = false;
  Bytes ram = make_content(Pattern::kRandom, std::size_t{5} << 14, 5);
  Random random(seed);
  random.fill(std::span(ram).subspan(std::size_t{2} << 14, std::size_t{1} << 14));
  sample.add(RegionKind::kMemory, "ram", std::move(ram));
  sample.add(RegionKind::kState, "dev", make_content(Pattern::kText, 3000, seed));
  return sample;
}

struct RecordPlace {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  wire::RecordHead head;
};

/// The records of a sound file.
inline std::vector<RecordPlace> records_of(std::span<const std::byte> file) {
  std::vector<RecordPlace> records;
  wire::Header header;
  std::memcpy(&header, file.data(), sizeof header);
  for (std::uint64_t at = header.header_bytes; at + sizeof(wire::Trailer) < file.size();) {
    RecordPlace place{at, 0, {}};
    std::memcpy(&place.head, file.data() + at, sizeof place.head);
    place.bytes = sizeof place.head + place.head.body_bytes;
    at += place.bytes;
    records.push_back(place);
  }
  return records;
}

/// Nobody gets wrong bytes from a damaged file; true if any byte could not be had.
inline bool expect_no_wrong_bytes(std::span<const std::byte> file, const Sample& sample, Reader* parent = nullptr) {
  auto source = memory_source(file);
  auto reader = Reader::open(*source, {.parent = parent});
  if (!reader) return true;
  bool refused = false;
  EXPECT_EQ((*reader)->regions().size(), sample.regions.size());
  EXPECT_EQ((*reader)->metadata(), sample.metadata);
  for (std::size_t region = 0; region < sample.regions.size(); ++region) {
    const Bytes& content = sample.regions[region].content;
    EXPECT_EQ((*reader)->regions()[region].size, content.size());
    EXPECT_EQ((*reader)->regions()[region].name, sample.regions[region].info.name);
    for (std::size_t at = 0; at < content.size(); at += kPage) {
      Bytes page(std::min(kPage, content.size() - at));
      if (const auto result = (*reader)->read(region, at, page); !result) {
        refused = true;
      } else {
        EXPECT_TRUE(std::equal(page.begin(), page.end(), content.begin() + static_cast<std::ptrdiff_t>(at))) << "wrong bytes of region " << region << " at " << at;
      }
    }
  }
  return refused;
}

/// What must hold of every damaged file.
inline void expect_seen(std::span<const std::byte> file, const Sample& sample, Reader* parent = nullptr) {
  const bool refused = expect_no_wrong_bytes(file, sample, parent);
  Collector collector;
  EXPECT_FALSE(stream(file, collector, parent).has_value()) << "read_stream took it";
  const CheckReport report = check_file(file, 1, parent);
  EXPECT_FALSE(report.clean()) << "check found nothing";
  EXPECT_TRUE(!report.repairable || report.lost.empty());
  if (refused && report.repairable) return;
  if (refused) return;
  EXPECT_TRUE(report.lost.empty()) << "all could be read, but is reported lost\n" << describe(report);
}

}  // namespace snap::test

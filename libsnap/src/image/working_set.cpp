// SPDX-License-Identifier: Apache-2.0
#include "image/working_set.h"

#include <algorithm>

#include "base/fail.h"
#include "format/limits.h"
#include "snap/working_set.h"

namespace snap {

static_assert(kMostTouchedRanges == format::kMaxWorkingSetRanges);

namespace {

constexpr std::uint32_t kFixedBytes = sizeof(wire::WorkingSetBody) + sizeof(wire::WorkingSetTail);
constexpr std::uint32_t kRangeBytes = sizeof(wire::WorkingSetRange);

std::optional<std::uint32_t> bytes_of_count(std::uint32_t count) {
  if (count == 0 || count > format::kMaxWorkingSetRanges) return std::nullopt;
  return kFixedBytes + count * kRangeBytes;
}

// What one range names may be there, and not yet counted twice.
template <typename InfoOf>
const char* range_fault(const TouchedRange& range, std::size_t regions, const InfoOf& info_of) {
  if (range.region >= regions) return "a working set with pages of a region that is not there";
  const RegionInfo& info = info_of(range.region);
  if (info.kind != RegionKind::kMemory) return "a working set with pages of a state";
  const std::uint64_t pages = page_count(info.size);
  if (range.pages == 0) return "a working set with a range of no pages";
  if (range.first_page >= pages || range.pages > pages - range.first_page) return "a working set with pages past a region's end";
  return nullptr;
}

template <typename InfoOf>
const char* fault_of(std::span<const TouchedRange> ranges, std::size_t regions, const InfoOf& info_of) {
  if (ranges.size() > format::kMaxWorkingSetRanges) return "a working set of too many ranges";
  for (const TouchedRange& range : ranges) {
    if (const char* fault = range_fault(range, regions, info_of)) return fault;
  }
  std::vector<TouchedRange> sorted(ranges.begin(), ranges.end());
  std::sort(sorted.begin(), sorted.end(), [](const TouchedRange& a, const TouchedRange& b) {
    return std::pair(a.region, a.first_page) < std::pair(b.region, b.first_page);
  });
  const auto overlap = std::adjacent_find(sorted.begin(), sorted.end(), [](const TouchedRange& a, const TouchedRange& b) {
    return a.region == b.region && b.first_page - a.first_page < a.pages;
  });
  return overlap == sorted.end() ? nullptr : "a working set with a page in two ranges";
}

}  // namespace

const char* working_set_fault(std::span<const TouchedRange> ranges, std::span<const RegionInfo> regions) {
  return fault_of(ranges, regions.size(), [&](std::size_t i) -> const RegionInfo& { return regions[i]; });
}

const char* working_set_fault(std::span<const TouchedRange> ranges, std::span<const CatalogRegion> regions) {
  return fault_of(ranges, regions.size(), [&](std::size_t i) -> const RegionInfo& { return regions[i].info; });
}

Bytes encode_working_set(std::span<const TouchedRange> ranges) {
  Bytes bytes;
  const std::uint32_t count = static_cast<std::uint32_t>(ranges.size());
  bytes.reserve(kFixedBytes + ranges.size() * kRangeBytes);
  append(bytes, bytes_of(wire::WorkingSetBody{count}));
  for (const TouchedRange& range : ranges) {
    append(bytes, bytes_of(wire::WorkingSetRange{static_cast<std::uint16_t>(range.region), wire::Le40::of(range.first_page), wire::Le40::of(range.pages)}));
  }
  wire::WorkingSetTail tail{};
  std::memcpy(tail.magic, wire::kWorkingSetMagic, sizeof tail.magic);
  tail.body_bytes = kFixedBytes + count * kRangeBytes;
  append(bytes, bytes_of(tail));
  return bytes;
}

Result<std::vector<TouchedRange>> parse_working_set(std::span<const std::byte> body, std::uint64_t offset, std::span<const CatalogRegion> regions) {
  const auto told = working_set_bytes_from_start(body);
  if (!told || *told != body.size()) return corrupt(offset, "the working set has another length than its ranges", body.size());
  if (working_set_bytes_from_tail(body.last(kWorkingSetTailBytes)) != told) return corrupt(offset, "the working set's tail does not fit it");
  ByteReader reader(body.subspan(sizeof(wire::WorkingSetBody)));
  std::vector<TouchedRange> ranges((body.size() - kFixedBytes) / kRangeBytes);
  for (TouchedRange& range : ranges) {
    const auto from = reader.take<wire::WorkingSetRange>();
    range = {from->region, from->first_page.value(), from->pages.value()};
  }
  if (const char* fault = working_set_fault(ranges, regions)) return corrupt(offset, fault);
  return ranges;
}

std::optional<std::uint32_t> working_set_bytes_from_start(std::span<const std::byte> start) {
  const auto body = ByteReader(start).take<wire::WorkingSetBody>();
  return body ? bytes_of_count(body->ranges) : std::nullopt;
}

std::optional<std::uint32_t> working_set_bytes_from_tail(std::span<const std::byte> tail) {
  const auto from = ByteReader(tail).take<wire::WorkingSetTail>();
  if (!from || std::memcmp(from->magic, wire::kWorkingSetMagic, sizeof from->magic) != 0 || from->zero != 0) return std::nullopt;
  const std::uint32_t bytes = from->body_bytes;
  if (bytes < kFixedBytes || (bytes - kFixedBytes) % kRangeBytes != 0) return std::nullopt;
  return bytes_of_count((bytes - kFixedBytes) / kRangeBytes);
}

}  // namespace snap

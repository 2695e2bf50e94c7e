// SPDX-License-Identifier: Apache-2.0
#include "write/samples.h"

#include <algorithm>
#include <bit>

namespace snap {

namespace {

constexpr std::size_t kMostEntries = (std::size_t{96} << 20) / sizeof(std::uint64_t);  // what ParentPages promises
constexpr unsigned kRegionBits = 8;

std::uint64_t tag_of(std::uint64_t hash) { return (hash & 0xFFFF) << 48; }

}  // namespace

SampleTable::SampleTable(std::size_t samples) {
  std::size_t slots = std::bit_ceil(std::max<std::size_t>(samples + samples / 4, std::size_t{kParts} * kProbes));
  while (slots > kMostEntries) slots /= 2;
  part_slots_ = slots / kParts;
  entries_.assign(slots, kFree);
}

// The hash's lowest bits tell samples of one slot apart, its highest the part.
std::size_t SampleTable::slot(std::uint64_t hash, std::size_t probe) const {
  return part_of(hash) * part_slots_ + (((hash >> 16) + probe) & (part_slots_ - 1));
}

void SampleTable::insert(std::uint64_t hash, PageRef page) {
  if (page.region >> kRegionBits != 0) return;
  const std::uint64_t tag = tag_of(hash);
  for (std::size_t probe = 0; probe < kProbes; ++probe) {
    std::uint64_t& entry = entries_[slot(hash, probe)];
    if (entry != kFree && (entry ^ tag) >> 48 != 0) continue;
    if (entry == kFree) entry = tag | encode_page(page);
    return;
  }
}

std::optional<PageRef> SampleTable::find(std::uint64_t hash) const {
  const std::uint64_t tag = tag_of(hash);
  for (std::size_t probe = 0; probe < kProbes; ++probe) {
    const std::uint64_t entry = entries_[slot(hash, probe)];
    if (entry == kFree) return std::nullopt;
    if ((entry ^ tag) >> 48 == 0) return decode_page(entry & ~(std::uint64_t{0xFFFF} << 48));
  }
  return std::nullopt;
}

}  // namespace snap

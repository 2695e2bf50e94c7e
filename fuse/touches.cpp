// SPDX-License-Identifier: Apache-2.0
#include "touches.h"

#include <algorithm>

namespace snap::view {

void Touches::note(std::size_t region, std::uint64_t region_bytes, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t region_pages = (region_bytes + kPageBytes - 1) / kPageBytes;
  const std::lock_guard lock(mutex_);
  for (std::uint64_t unit = offset / kUnit; unit * kUnit < offset + length; ++unit) {
    if (seen_.size() >= kMostUnits || !seen_.emplace(region, unit).second) continue;
    const std::uint64_t first = unit * (kUnit / kPageBytes);
    const std::uint64_t pages = std::min(kUnit / kPageBytes, region_pages - first);
    if (!ranges_.empty() && ranges_.back().region == region && ranges_.back().first_page + ranges_.back().pages == first) {
      ranges_.back().pages += pages;
    } else {
      ranges_.push_back({region, first, pages});
    }
  }
}

std::vector<TouchedRange> Touches::ranges() const {
  const std::lock_guard lock(mutex_);
  return ranges_;
}

}  // namespace snap::view

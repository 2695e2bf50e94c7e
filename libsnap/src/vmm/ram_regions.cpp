// SPDX-License-Identifier: Apache-2.0
#include "vmm/ram_regions.h"

#include <algorithm>

#include "base/fail.h"
#include "snap/import.h"

namespace snap {

std::vector<RegionInfo> ram_regions(const std::optional<Machine>& machine, std::uint64_t size) {
  if (machine) return machine_regions(*machine);
  RegionInfo whole;
  whole.name = kWholeRamName;
  whole.size = size;
  return {whole};
}

/// Opens the next region where one is needed; how many of `wanted` bytes go into it.
Result<std::uint64_t> RamRegions::room(std::uint64_t wanted) {
  if (open_ && left_ == 0) {
    SNAP_TRY(writer_.end_region());
    open_ = false;
  }
  if (!open_) {
    RegionInfo info;
    info.name = kSurplusRamName;
    if (next_ < regions_.size()) info = regions_[next_];
    ++next_;
    SNAP_TRY(writer_.begin_region(info));
    open_ = true;
    left_ = info.size;
  }
  return std::min(wanted, left_);
}

Result<void> RamRegions::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    SNAP_TRY_ASSIGN(count, room(bytes.size()));
    SNAP_TRY(writer_.write(bytes.first(static_cast<std::size_t>(count))));
    if (left_ != kUnknownSize) left_ -= count;
    bytes_ += count;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> RamRegions::skip(std::uint64_t bytes) {
  while (bytes != 0) {
    SNAP_TRY_ASSIGN(count, room(bytes));
    SNAP_TRY(writer_.skip(count));
    if (left_ != kUnknownSize) left_ -= count;
    bytes_ += count;
    bytes -= count;
  }
  return {};
}

Result<void> RamRegions::finish(std::uint64_t offset) {
  const bool whole = next_ >= regions_.size() && (left_ == 0 || left_ == kUnknownSize);
  if (!open_ || !whole) return corrupt(offset, "the RAM is smaller than the machine's CMOS says", bytes_);
  return writer_.end_region();
}

}  // namespace snap

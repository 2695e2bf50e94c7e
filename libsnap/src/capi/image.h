// SPDX-License-Identifier: Apache-2.0
// An open image behind the C interface.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "capi/translate.h"
#include "snap/reader.h"
#include "snap/restore.h"

struct snap_image {
  std::unique_ptr<snap::RandomSource> source;  // null for one that is held in memory
  std::unique_ptr<snap::Reader> reader;
  std::vector<std::vector<snap_placement>> placements{};  // of each region, as C wants them

  void list_placements() {
    for (const snap::RegionInfo& region : reader->regions()) {
      std::vector<snap_placement>& list = placements.emplace_back();
      for (const snap::Placement& each : region.placements) list.push_back({each.guest_address, each.offset, each.length});
    }
  }
};

namespace snap::capi {

inline bool has_region(const snap_image& image, std::uint32_t region) { return region < image.reader->regions().size(); }
inline std::span<std::byte> bytes_of(void* data, std::size_t length) { return {static_cast<std::byte*>(data), length}; }
Result<RestoreOptions> restore_options(const snap_restore_options* options);

}  // namespace snap::capi

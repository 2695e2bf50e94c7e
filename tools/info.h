// SPDX-License-Identifier: Apache-2.0
// What there is to say of a snapshot.
#pragma once

#include <cstdint>
#include <string>

#include "open.h"
#include "snap/reader.h"

namespace snap::tool {

/// Of a region, the short last one counted.
std::uint64_t block_count(const Reader& reader, const RegionInfo& region);

/// As `vmsnap info --output=json` has it, without what takes reading through its parents. `input`: its file.
std::string info_json(Input& input, const Reader& reader);

}  // namespace snap::tool

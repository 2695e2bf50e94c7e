// SPDX-License-Identifier: Apache-2.0
// What differs from a parent, as JSON.
#pragma once

#include <string>

#include "snap/io.h"
#include "snap/reader.h"
#include "snap/restore.h"

namespace snap::tool {

/// {"region": ..., "offset": ..., "bytes": ..., "zero": ..., "guest": [...]}
std::string change_json(const RegionInfo& region, const ChangedRange& range);

/// All memory regions with the number of their blocks by kind, and all that differs from the parent or, without one, is not zero. Nothing is
/// decoded; `reader` may be open without its parent.
Result<void> write_map_json(Reader& reader, ByteSink& sink);

}  // namespace snap::tool

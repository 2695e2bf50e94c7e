// SPDX-License-Identifier: Apache-2.0
// A base's memory in a mounted view: decoded as it is touched, and shared by all who map it through the kernel's page cache.
#pragma once

#include <optional>
#include <string>

#include "base_store.h"
#include "snap/model.h"

namespace snap::tool {

/// The digest of the snapshot whose folder in a view this is; nothing where it is no such folder. Ends the command where it cannot be read.
std::optional<Digest> digest_in_view(const std::string& directory);

/// A region's file there, region `number` of the snapshot. Ends the command where it has another size.
BaseStore::Memory memory_in_view(const std::string& directory, const RegionInfo& region, std::size_t number);

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// Snapshots in files, as the view takes them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chain.h"
#include "fuse/source.h"

namespace snap::tool {

using Log = std::function<void(const std::string&)>;

/// A snapshot in a file, with its parents, which are looked for as `places` say. `shelf`: the names beside it that are mounted with it.
/// Ends the command where it cannot be opened.
std::shared_ptr<view::Source> open_for_view(const std::string& path, const ParentPlaces& places, Log log, const view::Shelf* shelf = nullptr);

/// The snapshots of a directory. What cannot be opened is told of with `log`.
std::shared_ptr<view::Shelf> shelf_of(const std::string& directory, const ParentPlaces& places, Log log);

}  // namespace snap::tool

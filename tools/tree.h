// SPDX-License-Identifier: Apache-2.0
// The snapshots of a directory as families: which is whose parent.
#pragma once

#include <string>

namespace snap::tool {

/// Prints them; the exit status is the largest of those of files that could not be read.
int print_tree(const std::string& directory, bool as_json);

}  // namespace snap::tool

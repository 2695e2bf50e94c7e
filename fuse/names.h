// SPDX-License-Identifier: Apache-2.0
// Names of regions and states as names of files.
#pragma once

#include <string>
#include <string_view>

namespace snap::view {

/// '/', '%', control bytes and a leading '.' as %XX. Names differ where they did before; a name that would be too long for a file's is cut
/// and ends with `number`, which must be its own.
std::string file_name(std::string_view name, std::size_t number);

}  // namespace snap::view

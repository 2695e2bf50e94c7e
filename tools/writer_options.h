// SPDX-License-Identifier: Apache-2.0
// -o: how a snapshot is stored.
#pragma once

#include <string>
#include <vector>

#include "snap/writer.h"

namespace snap::tool {

/// "block_size=64K,codec=lz4", any number of times; a later value counts. Ends the command where one makes no sense.
WriterOptions writer_options(const std::vector<std::string>& lists, unsigned threads);
bool chooses_block_size(const std::vector<std::string>& lists);

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// A snapshot -> raw memory or a VM state stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "chain.h"
#include "open.h"
#include "progress.h"
#include "snap/reader.h"

namespace snap::tool {

/// The regions that --region names: all memory for "all", the main memory for "". Ends the command where there is none.
std::vector<std::size_t> choose_regions(const Reader& reader, const std::string& wanted, const std::string& file);

/// Writes regions one after another; answers how many bytes.
Result<std::uint64_t> emit_raw(Reader& reader, const std::vector<std::size_t>& regions, Output& output, unsigned threads,
                               Tally& tally);

/// The same in one pass over a snapshot that comes through a pipe.
Result<std::uint64_t> emit_raw_stream(Input& input, const std::string& wanted, const ParentPlaces& parents, const std::string& destination,
                                      Output& output);

}  // namespace snap::tool

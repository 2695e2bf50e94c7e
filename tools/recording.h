// SPDX-License-Identifier: Apache-2.0
// A recording: the order in which a guest first touched its memory, as a text.
//
//   # vmsnap working set of the snapshot DIGEST: region, offset, bytes
//   pc.ram 0x1000 0x3000
//
// A line for each range, in that order. Names are percent-encoded, numbers hexadecimal, of bytes. Other lines that begin with # are comments.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "snap/reader.h"
#include "snap/working_set.h"

namespace snap::tool {

std::string recording_text(const Reader& reader, std::span<const TouchedRange> ranges);

/// "-" is stdin. Ends the command where it is no recording that this snapshot could have; says so where it was made of another one.
std::vector<TouchedRange> read_recording(const std::string& path, const Reader& reader);

/// How much of a region a range is: its last page may be short.
std::uint64_t range_bytes(const RegionInfo& region, const TouchedRange& range);
std::uint64_t touched_bytes(const Reader& reader, std::span<const TouchedRange> ranges);

}  // namespace snap::tool

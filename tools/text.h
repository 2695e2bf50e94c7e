// SPDX-License-Identifier: Apache-2.0
// Numbers and names as people read and write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "snap/model.h"

namespace snap::tool {

/// "1.00 GiB", "141 MiB", "512 B": three digits.
std::string human_bytes(std::uint64_t bytes);
/// "64K", "64k", "64KiB", "1M", "65536"; nothing where it is not such a number or does not fit.
std::optional<std::uint64_t> parse_bytes(std::string_view text);
/// Text of a file made safe for a terminal: control bytes as \xNN.
std::string printable(std::string_view text);
/// 0.138 -> "13.8 %".
std::string percent(double share);
/// "1 block", "2 blocks".
std::string plural(std::uint64_t count, const char* noun);
/// Where the guest sees bytes [offset, offset + length) of a region: " (guest 0x100000-0x10ffff)"; empty where that is not known.
std::string guest_ranges(const RegionInfo& region, std::uint64_t offset, std::uint64_t length);
/// The part of a placement within [offset, offset + length) of its region; its length is 0 where there is none.
Placement clip(const Placement& placement, std::uint64_t offset, std::uint64_t length);
const char* kind_name(RegionKind kind);

}  // namespace snap::tool

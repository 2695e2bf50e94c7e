// SPDX-License-Identifier: Apache-2.0
// What import and export of `xl save` files share: the numbers of the three formats that stand one inside the other.
#pragma once

#include <cstdint>
#include <string_view>

namespace snap {

inline constexpr std::string_view kXenRamName = "ram";
inline constexpr std::string_view kXenRecipeState = "xen.recipe";
inline constexpr std::string_view kXenSupersededState = "xen.superseded";
inline constexpr std::string_view kXenDigestKey = "xen.save.blake3";

/// Guest frames have numbers below this: 8 TiB.
inline constexpr std::uint64_t kMaxXenFrames = std::uint64_t{1} << 31;
/// In one PAGE_DATA record; xl writes 1024.
inline constexpr std::uint32_t kMostXenFrames = 1u << 16;

inline constexpr std::uint32_t kXenRecordHeadBytes = 8;
inline constexpr std::uint32_t kXenPageData = 1;
inline constexpr std::uint32_t kXenPageDataHeadBytes = 8;
inline constexpr std::uint32_t kXenFrameBytes = 8;  ///< of an entry of its list
inline constexpr unsigned kXenTypeShift = 60;
inline constexpr std::uint64_t kXenFrameMask = (std::uint64_t{1} << 52) - 1;

/// 0 normal, 1 … 4 page tables, 9 … 12 pinned ones, 13 broken, 14 to be allocated, 15 nothing there.
constexpr bool is_xen_type(unsigned type) { return type < 5 || (type > 8 && type < 16); }
constexpr bool has_xen_body(unsigned type) { return type < 5 || (type > 8 && type < 13); }

}  // namespace snap

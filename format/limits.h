// SPDX-License-Identifier: Apache-2.0
// The limits of the container as exact numbers: SPEC 15.
#pragma once

#include <cstdint>

namespace snap::format {

inline constexpr std::uint32_t kVersion = 1;
inline constexpr unsigned kPageLog2 = 12;
inline constexpr std::uint32_t kPageBytes = 1u << kPageLog2;
inline constexpr unsigned kMinBlockLog2 = 14;
inline constexpr unsigned kMaxBlockLog2 = 22;
inline constexpr unsigned kDigestTreeHeight = 40;  // pages of a region count as 2^40, zero past its end
inline constexpr std::uint64_t kMaxRegionBytes = std::uint64_t{1} << 52;
inline constexpr std::uint64_t kUnknownSize = ~std::uint64_t{0};
inline constexpr std::uint32_t kMaxRegions = 4096;
inline constexpr std::uint32_t kMaxNameBytes = 1023;
inline constexpr std::uint32_t kMaxPlacements = 64;
inline constexpr unsigned kMinGuestPageLog2 = 12;
inline constexpr unsigned kMaxGuestPageLog2 = 30;
inline constexpr std::uint32_t kMaxHeaderBytes = 65536;
inline constexpr std::uint32_t kMaxBodyBytes = (16u << 20) + 65536;
inline constexpr std::uint32_t kMaxCatalogBody = 16u << 20;
inline constexpr std::uint32_t kMaxMetaBytes = 4u << 20;
inline constexpr std::uint32_t kMaxMetaKeyBytes = 255;
inline constexpr std::uint32_t kMaxMetaValueBytes = 1u << 20;
inline constexpr std::uint32_t kMaxParents = 64;
inline constexpr std::uint32_t kMaxHintBytes = 255;
inline constexpr std::uint32_t kMaxNamedPages = 256;
inline constexpr std::uint32_t kMaxWorkingSetRanges = 65536;
inline constexpr unsigned kNodeLog2 = 8;
inline constexpr std::uint32_t kNodeChildren = 1u << kNodeLog2;
inline constexpr std::uint64_t kMaxCopyWindowBytes = std::uint64_t{256} << 20;
inline constexpr std::uint64_t kMaxFileBytes = (std::uint64_t{1} << 63) - 1;
inline constexpr std::uint64_t kMaxPageNumber = (std::uint64_t{1} << 40) - 1;

}  // namespace snap::format

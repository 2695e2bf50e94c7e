// SPDX-License-Identifier: Apache-2.0
// What a snapshot is made of: regions, states, metadata, identity.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace snap {

inline constexpr std::uint32_t kPageBytes = 4096;
inline constexpr std::uint64_t kUnknownSize = ~std::uint64_t{0};

/// 256 bits of BLAKE3 that name content.
struct Digest {
  std::array<std::uint8_t, 32> bytes{};
  friend bool operator==(const Digest&, const Digest&) = default;
};
std::string to_hex(const Digest& digest);

/// What a snapshot that is a difference says of its parent.
struct ParentRef {
  Digest digest;     ///< the parent's
  std::string hint;  ///< its file name when the child was made, without any directory; may be empty
  friend bool operator==(const ParentRef&, const ParentRef&) = default;
};

enum class RegionKind : std::uint8_t { kMemory = 1, kState = 2 };

/// Where the guest sees a part of a region: [guest_address, +length) is [offset, +length) of the region.
struct Placement {
  std::uint64_t guest_address = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  friend bool operator==(const Placement&, const Placement&) = default;
};

/// A named byte range: guest memory (a RAM block) or an opaque state (device state, a header, a recipe).
struct RegionInfo {
  RegionKind kind = RegionKind::kMemory;
  std::string name;
  std::uint64_t size = kUnknownSize;  ///< bytes; kUnknownSize only while writing
  unsigned guest_page_log2 = 12;
  std::vector<Placement> placements;
};

/// A stretch of whole pages of a memory region.
struct TouchedRange {
  std::size_t region = 0;
  std::uint64_t first_page = 0;
  std::uint64_t pages = 0;
  friend bool operator==(const TouchedRange&, const TouchedRange&) = default;
};

using Metadata = std::map<std::string, std::string>;

enum class Codec : std::uint8_t { kStore = 0, kLz4 = 1, kZstd = 2 };
const char* codec_name(Codec codec);

}  // namespace snap
#pragma GCC visibility pop

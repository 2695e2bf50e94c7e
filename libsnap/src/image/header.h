// SPDX-License-Identifier: Apache-2.0
// The header, SPEC 4: bytes <-> checked values.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "format/limits.h"
#include "format/wire.h"
#include "snap/result.h"

namespace snap {

struct FeatureName {
  std::uint8_t word = 0;
  std::uint8_t bit = 0;
  std::string name;
};

struct Header {
  unsigned block_log2 = 16;
  std::uint32_t copy_window = 0;  // in blocks
  std::uint16_t parent_depth = 0;
  std::uint64_t incompatible = 0;
  std::uint64_t read_compatible = 0;
  std::uint64_t compatible = 0;
  std::vector<FeatureName> names;
  std::uint32_t header_bytes = sizeof(wire::Header);
  std::uint64_t check = 0;

  bool has_parent() const { return (incompatible & wire::kIncompatibleParent) != 0; }
  /// For a header being made.
  void set_parent_depth(unsigned depth) {
    parent_depth = static_cast<std::uint16_t>(depth);
    incompatible |= wire::kIncompatibleParent;
    names.push_back({0, 0, "parent"});
  }
  std::uint32_t block_bytes() const { return 1u << block_log2; }
  std::uint32_t block_pages() const { return 1u << (block_log2 - format::kPageLog2); }
};

inline constexpr std::size_t kHeaderStart = sizeof(wire::Header);

/// From the first kHeaderStart bytes: how long the header is. Refuses what is no vmsnap file of this version.
Result<std::uint32_t> header_length(std::span<const std::byte> start);
/// From all header_length() bytes. Refuses unknown incompatible features; the error's detail is the lowest such bit.
Result<Header> parse_header(std::span<const std::byte> bytes);
/// Sets header_bytes and check.
Bytes encode_header(Header& header);
/// The feature table alone, for saying what is lacking. Empty where the table is not legal.
std::vector<FeatureName> parse_feature_names(std::span<const std::byte> table);

}  // namespace snap

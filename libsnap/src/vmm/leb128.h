// SPDX-License-Identifier: Apache-2.0
// Numbers of 7 bits a byte, lowest first, bit 7 set in all but the last: what recipes are written in.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace snap {

inline void append_leb128(Bytes& to, std::uint64_t value) {
  while (value >= 0x80) {
    to.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  to.push_back(static_cast<std::byte>(value));
}

/// Nothing where the bytes end inside the number, or it does not fit 64 bits.
inline std::optional<std::uint64_t> take_leb128(ByteReader& in) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = in.take<std::byte>();
    if (!byte) return std::nullopt;
    const auto bits = std::to_integer<std::uint64_t>(*byte & std::byte{0x7f});
    if (shift == 63 && bits > 1) return std::nullopt;
    value |= bits << shift;
    if ((*byte & std::byte{0x80}) == std::byte{0}) return value;
  }
  return std::nullopt;
}

}  // namespace snap

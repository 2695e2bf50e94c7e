// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace snap {

/// One version of the codec. Plain pointers: the files behind it have flags of their own, and must not make inline functions of
/// the C++ library, which could end up in the whole program.
struct XbzrleCode {
  /// -1: does not fit.
  std::ptrdiff_t (*encode)(const std::uint8_t* before, const std::uint8_t* after, std::size_t bytes, std::uint8_t* out,
                           std::size_t room) noexcept;
  bool (*decode)(const std::uint8_t* delta, std::size_t delta_bytes, std::uint8_t* page, std::size_t page_bytes) noexcept;
};

extern const XbzrleCode kXbzrlePortable;
/// Null where this processor or this build cannot.
const XbzrleCode* xbzrle_avx2() noexcept;
const XbzrleCode* xbzrle_avx512() noexcept;

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// Little-endian integers in byte buffers, at any alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace snap {

template <typename Host>
Host load_le(const std::byte* at) {
  unsigned char bytes[sizeof(Host)];
  std::memcpy(bytes, at, sizeof bytes);
  Host value = 0;
  for (unsigned i = 0; i < sizeof bytes; ++i) value = static_cast<Host>(value | static_cast<Host>(bytes[i]) << 8 * i);
  return value;
}
inline std::uint16_t load_le16(const std::byte* at) { return load_le<std::uint16_t>(at); }
inline std::uint32_t load_le32(const std::byte* at) { return load_le<std::uint32_t>(at); }
inline std::uint64_t load_le64(const std::byte* at) { return load_le<std::uint64_t>(at); }

template <typename Host>
void store_le(std::byte* at, Host value) {
  for (unsigned i = 0; i < sizeof(Host); ++i) at[i] = static_cast<std::byte>(value >> 8 * i);
}

}  // namespace snap

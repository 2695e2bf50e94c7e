// SPDX-License-Identifier: Apache-2.0
// Little-endian integers in byte buffers, at any alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "format/wire.h"

namespace snap {

template <typename Host>
Host load_le(const std::byte* at) {
  wire::Le<Host> value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline std::uint16_t load_le16(const std::byte* at) { return load_le<std::uint16_t>(at); }
inline std::uint32_t load_le32(const std::byte* at) { return load_le<std::uint32_t>(at); }
inline std::uint64_t load_le64(const std::byte* at) { return load_le<std::uint64_t>(at); }

template <typename Host>
void store_le(std::byte* at, Host value) {
  const wire::Le<Host> bytes = value;
  std::memcpy(at, &bytes, sizeof bytes);
}

}  // namespace snap

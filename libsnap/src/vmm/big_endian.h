// SPDX-License-Identifier: Apache-2.0
// Big-endian integers in byte buffers: qcow2 and QEMU's streams know no other order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace snap {

template <typename Host>
Host load_be(const std::byte* at) {
  unsigned char bytes[sizeof(Host)];
  std::memcpy(bytes, at, sizeof bytes);
  Host value = 0;
  for (const unsigned char byte : bytes) value = static_cast<Host>(value << 8 | byte);
  return value;
}
inline std::uint16_t load_be16(const std::byte* at) { return load_be<std::uint16_t>(at); }
inline std::uint32_t load_be32(const std::byte* at) { return load_be<std::uint32_t>(at); }
inline std::uint64_t load_be64(const std::byte* at) { return load_be<std::uint64_t>(at); }

template <typename Host>
void append_be(Bytes& to, Host value) {
  for (unsigned shift = 8 * sizeof(Host); shift != 0; shift -= 8) to.push_back(static_cast<std::byte>(value >> (shift - 8)));
}

}  // namespace snap

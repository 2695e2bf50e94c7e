// SPDX-License-Identifier: Apache-2.0
// Structures in and out of byte spans, with every bound checked.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace snap {

using Bytes = std::vector<std::byte>;

/// Takes pieces off the front of a span; what is not there is answered by nothing.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <typename Wire>
  std::optional<Wire> take() {
    static_assert(std::is_trivially_copyable_v<Wire> && alignof(Wire) == 1);
    if (rest_.size() < sizeof(Wire)) return std::nullopt;
    Wire value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof(Wire));
    return value;
  }
  std::optional<std::span<const std::byte>> take_bytes(std::uint64_t count) {
    if (rest_.size() < count) return std::nullopt;
    auto bytes = rest_.first(static_cast<std::size_t>(count));
    rest_ = rest_.subspan(static_cast<std::size_t>(count));
    return bytes;
  }
  std::span<const std::byte> rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
};

template <typename Wire>
std::span<const std::byte> bytes_of(const Wire& wire) {
  static_assert(std::is_trivially_copyable_v<Wire> && alignof(Wire) == 1);
  return std::as_bytes(std::span(&wire, 1));
}
inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline void append(Bytes& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

constexpr std::uint64_t ceil_div(std::uint64_t value, std::uint64_t by) { return value / by + (value % by != 0); }

bool is_zero(std::span<const std::byte> bytes);

/// `page` becomes page XOR `other`; both of 4096 bytes.
void xor_page(std::byte* page, const std::byte* other);

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// XBZRLE byte by byte, from its description: what the library's versions are held against.
#pragma once

#include <optional>

#include "snap/xbzrle.h"
#include "support/content.h"

namespace snap::test {

inline constexpr XbzrleVersion kXbzrleVersions[] = {XbzrleVersion::kPortable, XbzrleVersion::kAvx2, XbzrleVersion::kAvx512};

inline void append_length(Bytes& to, std::size_t length) {
  if (length > 0x7F) to.push_back(static_cast<std::byte>(length | 0x80));
  to.push_back(static_cast<std::byte>(length > 0x7F ? length >> 7 : length));
}

/// Nothing where it does not fit into `room`, by the rule of snap/xbzrle.h.
inline std::optional<Bytes> plain_encode(std::span<const std::byte> before, std::span<const std::byte> after, std::size_t room) {
  Bytes out;
  const auto full = [&] { return room < out.size() + 2; };
  for (std::size_t at = 0; at < after.size();) {
    if (full()) return std::nullopt;
    const std::size_t start = at;
    while (at < after.size() && before[at] == after[at]) ++at;
    if (at == after.size()) break;
    const std::size_t begin = at;
    while (at < after.size() && before[at] != after[at]) ++at;
    if (begin - start > kXbzrleMaxRun || at - begin > kXbzrleMaxRun) return std::nullopt;
    append_length(out, begin - start);
    if (full()) return std::nullopt;
    append_length(out, at - begin);
    if (room - out.size() < at - begin) return std::nullopt;
    out.insert(out.end(), after.begin() + static_cast<std::ptrdiff_t>(begin), after.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return out;
}

/// What is in `page` after a refusal is compared, too.
inline bool plain_decode(std::span<const std::byte> delta, std::span<std::byte> page) {
  std::size_t from = 0;
  std::size_t to = 0;
  const auto length = [&]() -> std::optional<std::size_t> {
    if (delta.size() - from < 2) return std::nullopt;
    const auto low = std::to_integer<std::size_t>(delta[from++]);
    if (low < 0x80) return low;
    const auto high = std::to_integer<std::size_t>(delta[from++]);
    if (high > 0x7F) return std::nullopt;
    return (low & 0x7F) | high << 7;
  };
  while (from != delta.size()) {
    const bool first = from == 0;
    const auto equal = length();
    if (!equal || (*equal == 0 && !first) || *equal > page.size() - to) return false;
    to += *equal;
    const auto changed = length();
    if (!changed || *changed == 0 || *changed > page.size() - to || *changed > delta.size() - from) return false;
    for (std::size_t i = 0; i < *changed; ++i) page[to++] = delta[from++];
  }
  return true;
}

}  // namespace snap::test

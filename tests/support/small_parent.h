// SPDX-License-Identifier: Apache-2.0
// What small children are differences against: the fuzz corpora hold children of it, so it never changes.
#pragma once

#include "support/content.h"

namespace snap::test {

inline std::span<std::byte> page_of(Bytes& bytes, std::size_t number) { return std::span(bytes).subspan(number * kPage, kPage); }
inline void copy_page_of(Bytes& bytes, std::size_t from, std::size_t to) {
  const auto source = page_of(bytes, from);
  std::copy(source.begin(), source.end(), page_of(bytes, to).begin());
}

/// The memory "ram": four blocks of 16 KiB, the last of them short. Pages 2 and 7 are zero.
inline Bytes small_parent_ram() {
  Bytes ram = make_content(Pattern::kRandom, std::size_t{14} * kPage + 100, 901);
  for (const std::size_t zero : {2u, 7u}) std::fill_n(page_of(ram, zero).begin(), kPage, std::byte{0});
  return ram;
}
/// The state "dev".
inline Bytes small_parent_dev() { return make_content(Pattern::kText, 3000, 902); }

}  // namespace snap::test

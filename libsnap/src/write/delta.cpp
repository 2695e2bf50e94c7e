// SPDX-License-Identifier: Apache-2.0
#include "write/delta.h"

#include <cstring>

namespace snap {

namespace {

// SPEC 12: fewer common bytes than this do not pay, as they come in pieces too short for a codec.
constexpr unsigned kLeastGain = 256;

}  // namespace

bool prefers_xor(const std::byte* page, const std::byte* parent) {
  unsigned equal = 0;
  unsigned zero = 0;
  // Sums of so few bytes fit a byte each, which lets the compiler count a vector at a time.
  for (std::size_t at = 0; at < kPageBytes; at += 128) {
    std::uint8_t equal_here = 0;
    std::uint8_t zero_here = 0;
    for (std::size_t i = at; i < at + 128; ++i) {
      equal_here = static_cast<std::uint8_t>(equal_here + (page[i] == parent[i]));
      zero_here = static_cast<std::uint8_t>(zero_here + (page[i] == std::byte{0}));
    }
    equal += equal_here;
    zero += zero_here;
  }
  return equal >= zero + kLeastGain;
}

void xor_with(std::byte* page, const std::byte* parent) {
  for (std::size_t at = 0; at < kPageBytes; ++at) page[at] ^= parent[at];
}

}  // namespace snap

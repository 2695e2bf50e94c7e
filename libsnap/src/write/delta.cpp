// SPDX-License-Identifier: Apache-2.0
#include "write/delta.h"

#include <algorithm>
#include <utility>

namespace snap {

namespace {

// SPEC 12: fewer common bytes than this do not pay, as they come in pieces too short for a codec.
constexpr unsigned kLeastGain = 256;


}  // namespace

std::vector<std::uint64_t> pages_in_common(const SampleTable& pieces, std::span<const std::byte> bytes, std::uint16_t parent_region,
                                           std::uint64_t first, std::uint64_t count) {
  std::vector<std::uint64_t> hits;
  for_each_sample(bytes, [&](std::uint64_t hash) {
    const auto page = pieces.find(hash);
    if (page && page->region == parent_region && page->page - first >= count) hits.push_back(page->page);
  });
  std::sort(hits.begin(), hits.end());
  std::vector<std::pair<std::ptrdiff_t, std::uint64_t>> votes;  // the most first, then the lowest page
  for (auto from = hits.begin(); from != hits.end();) {
    const auto end = std::upper_bound(from, hits.end(), *from);
    votes.emplace_back(from - end, *from);
    from = end;
  }
  std::sort(votes.begin(), votes.end());
  std::vector<std::uint64_t> pages;
  for (const auto& [count_of, page] : votes) pages.push_back(page);
  return pages;
}

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

}  // namespace snap

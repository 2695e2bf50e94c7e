// SPDX-License-Identifier: Apache-2.0
// Guest memory for tests: reproducible, with the patterns that real memory has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace snap::test {

using Bytes = std::vector<std::byte>;
inline constexpr std::size_t kPage = 4096;

/// splitmix64: the same numbers everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  /// 0 … limit-1
  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : next() % limit; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  void fill(std::span<std::byte> out) {
    for (std::size_t at = 0; at < out.size(); at += 8) {
      const std::uint64_t word = next();
      std::memcpy(out.data() + at, &word, std::min<std::size_t>(8, out.size() - at));
    }
  }

 private:
  std::uint64_t state_;
};

enum class Pattern { kZeros, kRandom, kText, kRepeats, kMixed };
inline constexpr Pattern kAllPatterns[] = {Pattern::kZeros, Pattern::kRandom, Pattern::kText, Pattern::kRepeats, Pattern::kMixed};

inline void fill_page(Pattern pattern, Random& random, std::span<std::byte> page) {
  switch (pattern) {
    case Pattern::kZeros: std::fill(page.begin(), page.end(), std::byte{0}); break;
    case Pattern::kRandom: random.fill(page); break;
    case Pattern::kText:
      for (std::size_t at = 0; at < page.size(); at += 16) {
        std::uint64_t bits = random.next();
        for (std::size_t i = at; i < std::min(at + 16, page.size()); ++i, bits >>= 4) page[i] = static_cast<std::byte>("etaoin shrdlucmf"[bits & 15]);
      }
      break;
    case Pattern::kRepeats: {  // one of a few pages
      Random one(1000 + random.below(7));
      fill_page(one.one_in(2) ? Pattern::kText : Pattern::kRandom, one, page);
      break;
    }
    case Pattern::kMixed: {
      static constexpr Pattern parts[] = {Pattern::kZeros, Pattern::kZeros, Pattern::kRandom, Pattern::kText, Pattern::kRepeats};
      fill_page(parts[random.below(std::size(parts))], random, page);
      break;
    }
  }
}

inline Bytes make_content(Pattern pattern, std::size_t size, std::uint64_t seed) {
  Random random(seed);
  Bytes bytes(size);
  // Runs of pages of one kind, as a guest has them.
  for (std::size_t at = 0; at < size;) {
    const std::size_t pages = pattern == Pattern::kMixed ? 1 + random.below(9) : 1;
    Pattern now = pattern;
    if (pattern == Pattern::kMixed && random.one_in(2)) now = kAllPatterns[random.below(4)];
    for (std::size_t i = 0; i < pages && at < size; ++i, at += kPage) {
      fill_page(now, random, std::span(bytes).subspan(at, std::min(kPage, size - at)));
    }
  }
  return bytes;
}

}  // namespace snap::test

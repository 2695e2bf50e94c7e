// SPDX-License-Identifier: Apache-2.0
// Which pages of a parent hold the same pieces as a block, wherever in the page they stand: by samples of a rolling hash that
// content alone chooses, as rsync's and zstd's long-distance matching have it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "image/block.h"

namespace snap {

inline constexpr std::size_t kSampleBytes = 64;  // the piece that a sample stands for
inline constexpr unsigned kSampleLog2 = 7;       // one place in so many is sampled

/// Factors of the rolling hash: any fixed numbers without pattern (splitmix64).
consteval std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t state = 0;
  for (std::uint64_t& value : gear) {
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    value = z ^ z >> 31;
  }
  return gear;
}
inline constexpr std::array<std::uint64_t, 256> kGear = make_gear();

/// `take(hash)` for each sample of the bytes. Each shift moves a byte's part up by one bit: after 64 it is gone.
template <typename Take>
void for_each_sample(std::span<const std::byte> bytes, Take take) {
  std::uint64_t hash = 0;
  std::size_t at = 0;
  for (; at < bytes.size() && at < kSampleBytes - 1; ++at) hash = (hash << 1) + kGear[std::to_integer<unsigned>(bytes[at])];
  for (; at < bytes.size(); ++at) {
    hash = (hash << 1) + kGear[std::to_integer<unsigned>(bytes[at])];
    if (hash >> (64 - kSampleLog2) == 0) take(hash * 0x9E3779B97F4A7C15u);
  }
}

/// The same of four pages side by side, as each hash waits for the one before: `take(page, hash)` with page 0 … 3.
template <typename Take>
void for_each_sample_of_4(const std::byte* const pages[4], std::size_t bytes, Take take) {
  std::uint64_t hash[4] = {};
  const auto step = [&](std::size_t at) {
    for (unsigned i = 0; i < 4; ++i) hash[i] = (hash[i] << 1) + kGear[std::to_integer<unsigned>(pages[i][at])];
  };
  std::size_t at = 0;
  for (; at < bytes && at < kSampleBytes - 1; ++at) step(at);
  for (; at < bytes; ++at) {
    step(at);
    for (unsigned i = 0; i < 4; ++i) {
      if (hash[i] >> (64 - kSampleLog2) == 0) take(i, hash[i] * 0x9E3779B97F4A7C15u);
    }
  }
}

/// Samples and the pages that have them. Fixed memory: what does not fit is left out.
class SampleTable {
 public:
  /// Parts can be filled at the same time, each by one thread.
  static constexpr unsigned kParts = 8;

  explicit SampleTable(std::size_t samples);

  static unsigned part_of(std::uint64_t hash) { return static_cast<unsigned>(hash >> 61); }
  void insert(std::uint64_t hash, PageRef page);
  std::optional<PageRef> find(std::uint64_t hash) const;

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  static constexpr std::size_t kProbes = 4;
  std::size_t slot(std::uint64_t hash, std::size_t probe) const;

  std::size_t part_slots_;
  std::vector<std::uint64_t> entries_;  // 16 bits of the hash, 8 of the region, 40 of the page
};

}  // namespace snap

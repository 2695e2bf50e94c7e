// SPDX-License-Identifier: Apache-2.0
// The order in which memory was first touched.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "snap/working_set.h"

namespace snap::view {

/// Any thread may call any method.
class Touches {
 public:
  /// Bytes of a region, which has `region_bytes`, were asked for.
  void note(std::size_t region, std::uint64_t region_bytes, std::uint64_t offset, std::uint64_t length);
  std::vector<TouchedRange> ranges() const;

 private:
  /// What is told apart: a read of the kernel brings more than the page that was touched.
  static constexpr std::uint64_t kUnit = 64u << 10;
  static constexpr std::size_t kMostUnits = 1u << 16;

  mutable std::mutex mutex_;
  std::set<std::pair<std::size_t, std::uint64_t>> seen_;
  std::vector<TouchedRange> ranges_;
};

}  // namespace snap::view

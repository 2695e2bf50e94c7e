// SPDX-License-Identifier: Apache-2.0
// What a reader offers to its children, and to what restores it, beyond the public calls.
#pragma once

#include <cstdint>
#include <span>

#include "base/fail.h"
#include "snap/reader.h"
#include "snap/result.h"

namespace snap {

/// One read on its way down a chain.
struct ReadTask {
  bool zeroed = false;  ///< the target is zero already
  /// How many more blocks may be decoded for the block of a child that the read is for: SPEC 12. Null outside of such a block.
  std::uint32_t* allowance = nullptr;
  static constexpr std::uint32_t kAllowance = 65536;

  /// Asked before others can wait for what this read loads: its limit is not theirs.
  Result<void> may_decode() const {
    if (allowance != nullptr && *allowance == 0) return fail(Code::kLimit, "a block that needs too many blocks of its chain");
    return {};
  }
  /// A block was decoded: one that was cached, or is zero, costs nothing.
  void spend_block() const {
    if (allowance != nullptr && *allowance != 0) --*allowance;
  }
};

class PageReader {
 public:
  virtual ~PageReader() = default;
  /// As Reader::read(), for bytes inside the region.
  virtual Result<void> read_into(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) = 0;
  /// As Reader::extent(), up to `end` at most, and shorter where a file of the chain changes: each is asked once.
  virtual Result<Extent> extent_until(std::size_t region, std::uint64_t offset, std::uint64_t end) = 0;
  /// Whether the bytes lie in place, SPEC 12: no file of the chain but the last has copies among their pages, or dictionaries that
  /// name pages in their blocks.
  virtual Result<bool> in_place(std::size_t region, std::uint64_t offset, std::uint64_t bytes) = 0;
};

}  // namespace snap

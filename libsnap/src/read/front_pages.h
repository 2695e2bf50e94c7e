// SPDX-License-Identifier: Apache-2.0
// A page of a block without the pages behind it: who reads at random wants no more, and decoding is what it waits for.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "read/image.h"

namespace snap {

/// Whether blocks were asked for before, of those lately asked for. Any thread may call it; it may err.
class LatelyTouched {
 public:
  /// True for the first time.
  bool is_first(std::uint64_t key) {
    return slots_[(key * 0x9E3779B97F4A7C15u) >> 54].exchange(key + 1, std::memory_order_relaxed) != key + 1;
  }

 private:
  std::array<std::atomic<std::uint64_t>, 1024> slots_{};  // key + 1
};

/// Bytes of a block, from `offset` in it on, decoded no further than they reach; false where that would save little, or takes more than the
/// block's own record.
bool decode_front(const BlockView& view, std::size_t offset, std::span<std::byte> out, Scratch& scratch);

/// The page that bytes of a block are a copy of, where they are of one page alone and that is a copy: the block need not be decoded for them.
std::optional<CopyRef> lone_copy(const BlockView& view, std::size_t offset, std::size_t bytes);

}  // namespace snap

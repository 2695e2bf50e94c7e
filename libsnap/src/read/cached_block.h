// SPDX-License-Identifier: Apache-2.0
// A decoded block as the cache holds it.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "read/block_memory.h"
#include "read/image.h"

namespace snap {

/// A block's bytes: of the memory for blocks, or, for the short last one of a region, of its own.
struct GiveBack {
  BlockMemory* memory;  // null: its own
  void operator()(std::byte* bytes) const {
    if (memory != nullptr) {
      memory->give_back(bytes);
    } else {
      delete[] bytes;
    }
  }
};
using BlockBytes = std::unique_ptr<std::byte, GiveBack>;

inline BlockBytes take_bytes(std::size_t bytes, BlockMemory& memory) {
  if (bytes == memory.block_bytes()) return {memory.take(), GiveBack{&memory}};
  return {new std::byte[bytes], GiveBack{nullptr}};
}

/// A decoded block. Pages that are copies of other blocks' pages are filled in when first asked for.
class CachedBlock {
 public:
  CachedBlock(std::uint32_t pages, BlockMemory& memory)
      : pages_(pages), bytes_(take_bytes(std::size_t{pages} * kPageBytes, memory)), raw_(pages) {}

  std::size_t memory_bytes() const { return sizeof *this + std::size_t{pages_} * (kPageBytes + 1) + pending_.size() * sizeof(PendingCopy); }
  std::span<std::byte> bytes() { return {bytes_.get(), std::size_t{pages_} * kPageBytes}; }
  void note_raw(std::uint32_t page) { raw_[page] = true; }
  bool raw(std::uint64_t page) const { return page < pages_ && raw_[page]; }
  std::vector<PendingCopy>& pending() { return pending_; }

  /// Bytes of the block; `resolve(source, offset, to)` fills in the copied page at an offset of the block.
  template <typename Resolve>
  Result<void> copy_out(std::size_t offset, std::span<std::byte> out, Resolve resolve) {
    if (has_pending_) {
      const std::lock_guard lock(mutex_);
      const std::size_t first = offset / kPageBytes;
      const std::size_t last = (offset + out.size() - 1) / kPageBytes;
      for (PendingCopy& copy : pending_) {
        if (copy.page < first || copy.page > last || resolved_[copy.page]) continue;
        const std::size_t at = std::size_t{copy.page} * kPageBytes;
        SNAP_TRY(resolve(copy.source, at, bytes().subspan(at, kPageBytes)));
        resolved_[copy.page] = true;
      }
    }
    std::memcpy(out.data(), bytes_.get() + offset, out.size());
    return {};
  }
  void seal() {
    has_pending_ = !pending_.empty();
    if (has_pending_) resolved_.resize(pages_);
  }

 private:
  std::uint32_t pages_;
  BlockBytes bytes_;
  std::vector<bool> raw_;
  std::vector<PendingCopy> pending_;
  std::vector<bool> resolved_;
  bool has_pending_ = false;
  std::mutex mutex_;
};

}  // namespace snap

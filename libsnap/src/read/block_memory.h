// SPDX-License-Identifier: Apache-2.0
// Memory for decoded blocks, used over and over.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

namespace snap {

/// Any thread may take and give back. Holds no more than what was in use at once, and less than kSlabBytes more; of blocks as large as that
/// none that is not in use.
/// Outlives what is taken from it.
class BlockMemory {
 public:
  explicit BlockMemory(std::size_t block_bytes) : block_bytes_(block_bytes) {}
  ~BlockMemory();
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;

  std::size_t block_bytes() const { return block_bytes_; }
  /// Whole pages of block_bytes(), holding anything. std::bad_alloc where there is none.
  std::byte* take();
  void give_back(std::byte* block);
  /// Gives back to the system what is not in use.
  void trim();

 private:
  static constexpr std::size_t kSlabBytes = 2u << 20;
  struct Slab {
    std::byte* memory;
    std::size_t bytes;
  };
  void add_slab();
  void drop_free_slabs();

  std::size_t block_bytes_;
  std::mutex mutex_;
  std::vector<Slab> slabs_;
  std::vector<std::byte*> free_;
  std::size_t count_ = 0;  // blocks in all slabs
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// Which pages were stored before, as far back as the copy window reaches.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "image/block.h"
#include "snap/model.h"
#include "write/page_table.h"

namespace snap {

/// Fixed memory. The digest decides, so two pages that meet here are equal.
class DedupTable {
 public:
  explicit DedupTable(std::uint32_t window_blocks, std::uint32_t block_pages);

  /// A raw page with this digest in the window before BLOCK record number `record`.
  std::optional<PageRef> find(const Digest& digest, std::uint64_t record) const;
  /// The raw page `page` of BLOCK record number `record` has this digest.
  void insert(const Digest& digest, PageRef page, std::uint64_t record);

 private:
  struct Entry {
    Digest digest;
    std::uint64_t page_bits = 0;
    std::uint64_t record = 0;  // 0: free
  };
  bool stale(const Entry& entry, std::uint64_t record) const { return entry.record == 0 || record - entry.record > window_; }

  std::uint64_t window_;
  std::vector<Entry> entries_;
};

/// The pages of one block, for choosing what becomes a copy.
struct BlockPages {
  std::uint16_t region = 0;
  std::uint64_t first_page = 0;
  std::uint64_t record = 0;  ///< the number its BLOCK record gets, from 1
  std::uint32_t block_pages = 0;
  std::span<wire::PageKind> kinds;
  std::span<const Digest> digests;       ///< of each page
  std::span<CopyRef> copies;             ///< of each page: its source, where it becomes a copy
};

/// Turns stored pages into copies where the format allows: of raw pages of this block, or of the one other block that gives most.
void choose_copies(DedupTable& table, const BlockPages& block);

}  // namespace snap

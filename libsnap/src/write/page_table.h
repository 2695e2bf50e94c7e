// SPDX-License-Identifier: Apache-2.0
// Pages by their content.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "image/block.h"
#include "snap/model.h"

namespace snap {

/// Where a digest is looked for in a table of a power-of-two size.
inline std::size_t digest_slot(const Digest& digest, std::size_t table_size) {
  std::size_t bits = 0;
  for (unsigned i = 0; i < sizeof bits; ++i) bits |= std::size_t{digest.bytes[i]} << 8 * i;
  return bits & (table_size - 1);
}

/// Fixed memory: what does not fit is left out. The first page with a digest stays.
class PageTable {
 public:
  explicit PageTable(std::size_t pages);

  void insert(const Digest& digest, PageRef page);
  std::optional<PageRef> find(const Digest& digest) const;

 private:
  struct Entry {
    Digest digest;
    std::uint64_t page_bits = kFree;
  };
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  std::vector<Entry> entries_;
};

}  // namespace snap

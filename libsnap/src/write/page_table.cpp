// SPDX-License-Identifier: Apache-2.0
#include "write/page_table.h"

#include <algorithm>
#include <bit>

namespace snap {

namespace {

constexpr std::size_t kProbes = 16;
constexpr std::size_t kMostEntries = (std::size_t{96} << 20) / 40;  // what ParentPages promises

}  // namespace

PageTable::PageTable(std::size_t pages) {
  std::size_t entries = std::bit_ceil(std::max<std::size_t>(pages + pages / 4, kProbes));
  while (entries > kMostEntries) entries /= 2;
  entries_.resize(entries);
}

void PageTable::insert(const Digest& digest, PageRef page) {
  std::size_t at = digest_slot(digest, entries_.size());
  for (std::size_t i = 0; i < kProbes; ++i, at = (at + 1) & (entries_.size() - 1)) {
    if (entries_[at].page_bits != kFree && entries_[at].digest != digest) continue;
    if (entries_[at].page_bits == kFree) entries_[at] = {digest, encode_page(page)};
    return;
  }
}

std::optional<PageRef> PageTable::find(const Digest& digest) const {
  std::size_t at = digest_slot(digest, entries_.size());
  for (std::size_t i = 0; i < kProbes; ++i, at = (at + 1) & (entries_.size() - 1)) {
    if (entries_[at].page_bits == kFree) return std::nullopt;
    if (entries_[at].digest == digest) return decode_page(entries_[at].page_bits);
  }
  return std::nullopt;
}

}  // namespace snap

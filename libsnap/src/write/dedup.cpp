// SPDX-License-Identifier: Apache-2.0
#include "write/dedup.h"

#include <algorithm>
#include <bit>

namespace snap {

namespace {

constexpr std::size_t kProbes = 16;

PageRef block_of(PageRef page, std::uint32_t block_pages) { return {page.region, page.page / block_pages}; }

// The other block with the most pages of this one; the lowest of several, so that the choice does not depend on anything else.
std::optional<PageRef> best_source(const DedupTable& table, const BlockPages& block) {
  std::vector<PageRef> sources;
  for (std::size_t i = 0; i < block.kinds.size(); ++i) {
    if (!BlockView::is_stored(block.kinds[i])) continue;
    if (const auto found = table.find(block.digests[i], block.record)) sources.push_back(block_of(*found, block.block_pages));
  }
  std::sort(sources.begin(), sources.end());
  std::optional<PageRef> best;
  std::ptrdiff_t most = 0;
  for (auto first = sources.begin(); first != sources.end();) {
    const auto last = std::upper_bound(first, sources.end(), *first);
    if (last - first > most) {
      most = last - first;
      best = *first;
    }
    first = last;
  }
  return best;
}

}  // namespace

DedupTable::DedupTable(std::uint32_t window_blocks, std::uint32_t block_pages)
    : window_(window_blocks), entries_(std::bit_ceil(std::size_t{2} * window_blocks * block_pages)) {}

std::optional<PageRef> DedupTable::find(const Digest& digest, std::uint64_t record) const {
  for (std::size_t i = 0, at = digest_slot(digest, entries_.size()); i < kProbes; ++i, at = (at + 1) & (entries_.size() - 1)) {
    const Entry& entry = entries_[at];
    if (entry.record == 0) return std::nullopt;
    if (entry.digest == digest) return stale(entry, record) ? std::nullopt : std::optional(decode_page(entry.page_bits));
  }
  return std::nullopt;
}

void DedupTable::insert(const Digest& digest, PageRef page, std::uint64_t record) {
  std::size_t oldest = digest_slot(digest, entries_.size());
  for (std::size_t i = 0, at = oldest; i < kProbes; ++i, at = (at + 1) & (entries_.size() - 1)) {
    const Entry& entry = entries_[at];
    if (entry.digest == digest || entry.record == 0) {
      oldest = at;
      break;
    }
    if (entry.record < entries_[oldest].record) oldest = at;
  }
  entries_[oldest] = {digest, encode_page(page), record};
}

void choose_copies(DedupTable& table, const BlockPages& block) {
  const auto source = best_source(table, block);
  const PageRef self{block.region, block.first_page / block.block_pages};
  for (std::size_t i = 0; i < block.kinds.size(); ++i) {
    if (!BlockView::is_stored(block.kinds[i])) continue;
    const auto found = table.find(block.digests[i], block.record);
    const bool usable = found && (block_of(*found, block.block_pages) == self || block_of(*found, block.block_pages) == source);
    if (usable) {
      block.kinds[i] = wire::kCopy;
      block.copies[i] = {*found, false};
    } else if (block.kinds[i] == wire::kRaw) {
      table.insert(block.digests[i], {block.region, block.first_page + i}, block.record);
    }
  }
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "read/range_digest.h"

#include <algorithm>

#include "base/fail.h"
#include "codec/checksum.h"

namespace snap {

Result<Digest> RangeDigest::of(unsigned height, std::uint64_t number) const {
  const unsigned block_height = image_.header().block_log2 - format::kPageLog2;
  if (number > format::kMaxPageNumber >> height || number << height >= page_count(image_.size(region_))) return zero_digest(height);
  if (height < block_height) return of_pages(height, number);

  const unsigned above = height - block_height;
  if (above % format::kNodeLog2 == 0) {
    SNAP_TRY_ASSIGN(entry, image_.find_at(region_, above / format::kNodeLog2, number));
    if (entry) return entry->digest;
  }
  const std::uint64_t first = number << above;
  SNAP_TRY_ASSIGN(present, image_.next_present(region_, first));
  if (present >= image_.blocks(region_) || (present - first) >> above != 0) return absent_ ? absent_(height, number) : zero_digest(height);
  SNAP_TRY_ASSIGN(left, of(height - 1, 2 * number));
  SNAP_TRY_ASSIGN(right, of(height - 1, 2 * number + 1));
  Digest halves[2] = {left, right};
  return tree_digest(halves);
}

Result<Digest> RangeDigest::of_pages(unsigned height, std::uint64_t number) const {
  const std::uint64_t offset = number << (height + format::kPageLog2);
  Bytes bytes(std::size_t{kPageBytes} << height);
  const std::uint64_t there = std::min<std::uint64_t>(bytes.size(), image_.size(region_) - offset);
  SNAP_TRY(read_(offset, std::span(bytes).first(static_cast<std::size_t>(there))));
  std::vector<const std::byte*> pages;
  for (std::size_t at = 0; at < bytes.size(); at += kPageBytes) pages.push_back(bytes.data() + at);
  std::vector<Digest> digests(pages.size());
  page_digests(pages, digests.data());
  return tree_digest(digests);
}

}  // namespace snap

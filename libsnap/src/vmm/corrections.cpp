// SPDX-License-Identifier: Apache-2.0
// A snapshot written again with the pages in place that came late.
#include <algorithm>

#include "base/bytes.h"
#include "base/fail.h"
#include "vmm/ram_intake.h"

namespace snap {
namespace {

constexpr std::size_t kNoBlock = ~std::size_t{0};

/// A region of the first snapshot, with late pages where `block` has some.
class CorrectedRegion final : public RegionSource {
 public:
  CorrectedRegion(Reader& reader, std::size_t region, const LatePages& late, std::size_t block, std::atomic<bool>* failed)
      : RegionSource(reader, region, failed), late_(late), block_(block) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    SNAP_TRY_ASSIGN(got, RegionSource::read_at(offset, out));
    SNAP_TRY(patch(offset, out.first(got)));
    return got;
  }

  /// Of zeros with late pages only the blocks that have some are not.
  Result<Extent> extent(std::uint64_t offset) override {
    SNAP_TRY_ASSIGN(extent, RegionSource::extent(offset));
    if (extent.data || block_ == kNoBlock) return extent;
    const std::uint64_t end = ceil_div(offset + extent.length, kPageBytes);
    const std::uint64_t late = late_.next(block_, offset / kPageBytes, end);
    if (late == end) return extent;
    const std::uint64_t block_bytes = reader().block_bytes();
    const std::uint64_t in_block = late * kPageBytes / block_bytes * block_bytes;
    extent.data = in_block <= offset;
    extent.length = extent.data ? std::min(extent.length, block_bytes) : in_block - offset;
    return extent;
  }

 private:
  Result<void> patch(std::uint64_t offset, std::span<std::byte> out) const {
    const std::uint64_t end = offset + out.size();
    if (block_ == kNoBlock) return {};
    if (offset % kPageBytes != 0) return invalid("a page of a corrected region read in part", offset);
    const std::uint64_t last = ceil_div(end, kPageBytes);
    for (std::uint64_t page = offset / kPageBytes; (page = late_.next(block_, page, last)) != last; ++page) {
      const std::uint64_t at = page * kPageBytes;
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kPageBytes, end - at));
      SNAP_TRY(late_.patch(block_, page, out.subspan(static_cast<std::size_t>(at - offset), count)));
    }
    return {};
  }

  const LatePages& late_;
  std::size_t block_;
};

}  // namespace

Result<void> RamCorrections::apply(Reader& first, Writer& second, const ImportOptions& options, std::atomic<bool>* reads_failed) {
  for (const auto& [key, value] : first.metadata()) SNAP_TRY(second.set_metadata(key, value));
  std::size_t block = 0;
  for (std::size_t region = 0; region < first.regions().size(); ++region) {
    const RegionInfo& info = first.regions()[region];
    CorrectedRegion source(first, region, *late_, info.kind == RegionKind::kMemory ? block++ : kNoBlock, reads_failed);
    SNAP_TRY(write_region(second, info, source, options.progress, options.cancel));
  }
  return {};
}

Imported corrections_of(std::unique_ptr<LatePages> late) {
  return late ? std::make_unique<RamCorrections>(std::move(late)) : nullptr;
}

}  // namespace snap

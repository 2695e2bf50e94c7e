// SPDX-License-Identifier: Apache-2.0
// A snapshot written again with the pages in place that came late.
#include <algorithm>

#include "base/bytes.h"
#include "base/fail.h"
#include "vmm/ram_intake.h"

namespace snap {
namespace {

/// Cancelling and progress come once for so many bytes.
constexpr std::uint64_t kStepBytes = 64u << 20;
constexpr std::size_t kNoBlock = ~std::size_t{0};

/// A region of the first snapshot, with late pages where `block` has some. The writer's workers read it.
class CorrectedRegion final : public RandomSource {
 public:
  CorrectedRegion(Reader& reader, std::size_t region, const LatePages& late, std::size_t block, std::atomic<bool>* failed)
      : reader_(reader), region_(region), late_(late), block_(block), failed_(failed) {}

  Result<std::uint64_t> size() override { return reader_.regions()[region_].size; }

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    const std::uint64_t bytes = reader_.regions()[region_].size;
    const std::uint64_t left = offset < bytes ? bytes - offset : 0;
    const auto part = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), left)));
    SNAP_TRY(note(reader_.read(region_, offset, part)));
    SNAP_TRY(patch(offset, part));
    return part.size();
  }

  /// The stretch from `offset` on that is all zero, or may not be. Of zeros with late pages only the blocks that have some are not.
  Result<Extent> extent(std::uint64_t offset) {
    auto extent = reader_.extent(region_, offset);
    SNAP_TRY(note(extent));
    extent->length = std::min(extent->length, kStepBytes);
    if (extent->data || block_ == kNoBlock) return extent;
    const std::uint64_t end = ceil_div(offset + extent->length, kPageBytes);
    const std::uint64_t late = late_.next(block_, offset / kPageBytes, end);
    if (late == end) return extent;
    const std::uint64_t in_block = late * kPageBytes / reader_.block_bytes() * reader_.block_bytes();
    extent->data = in_block <= offset;
    extent->length = extent->data ? std::min<std::uint64_t>(extent->length, reader_.block_bytes()) : in_block - offset;
    return extent;
  }

 private:
  template <typename T>
  const Result<T>& note(const Result<T>& result) {
    if (!result && failed_ != nullptr) *failed_ = true;
    return result;
  }

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

  Reader& reader_;
  std::size_t region_;
  const LatePages& late_;
  std::size_t block_;
  std::atomic<bool>* failed_;
};

Result<void> write_content(CorrectedRegion& source, const RegionInfo& info, Writer& writer, const ImportOptions& options) {
  for (std::uint64_t offset = 0; offset < info.size;) {
    if (options.cancel != nullptr && *options.cancel) return fail(Code::kCancelled, "cancelled", offset);
    SNAP_TRY_ASSIGN(extent, source.extent(offset));
    SNAP_TRY(extent.data ? writer.write_from(source, offset, extent.length) : writer.skip(extent.length));
    offset += extent.length;
    if (options.progress != nullptr) *options.progress += extent.length;
  }
  return {};
}

Result<void> write_region(CorrectedRegion& source, const RegionInfo& info, Writer& writer, const ImportOptions& options) {
  SNAP_TRY(writer.begin_region(info));
  const auto written = write_content(source, info, writer, options);
  const auto ended = writer.end_region();  // also after an error: nobody reads the source any more then
  return written ? ended : written;
}

}  // namespace

Result<void> RamCorrections::apply(Reader& first, Writer& second, const ImportOptions& options, std::atomic<bool>* reads_failed) {
  for (const auto& [key, value] : first.metadata()) SNAP_TRY(second.set_metadata(key, value));
  std::size_t block = 0;
  for (std::size_t region = 0; region < first.regions().size(); ++region) {
    const RegionInfo& info = first.regions()[region];
    CorrectedRegion source(first, region, *late_, info.kind == RegionKind::kMemory ? block++ : kNoBlock, reads_failed);
    SNAP_TRY(write_region(source, info, second, options));
  }
  return {};
}

Imported corrections_of(std::unique_ptr<LatePages> late) {
  return late ? std::make_unique<RamCorrections>(std::move(late)) : nullptr;
}

}  // namespace snap

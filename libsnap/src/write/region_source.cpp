// SPDX-License-Identifier: Apache-2.0
// One snapshot's regions into another.
#include <algorithm>

#include "base/fail.h"
#include "snap/writer.h"

namespace snap {
namespace {

/// Cancelling and progress come once for so many bytes.
constexpr std::uint64_t kStepBytes = 64u << 20;

Result<void> write_content(Writer& writer, std::uint64_t size, RegionSource& source, std::atomic<std::uint64_t>* progress,
                           const std::atomic<bool>* cancel) {
  for (std::uint64_t offset = 0; offset < size;) {
    SNAP_TRY_ASSIGN(extent, source.extent(offset));
    for (const std::uint64_t end = offset + extent.length; offset < end;) {
      if (cancel != nullptr && *cancel) return fail(Code::kCancelled, "cancelled", offset);
      const std::uint64_t length = extent.data ? std::min(end - offset, kStepBytes) : end - offset;
      SNAP_TRY(extent.data ? writer.write_from(source, offset, length) : writer.skip(length));
      offset += length;
      if (progress != nullptr) *progress += length;
    }
  }
  return {};
}

}  // namespace

Result<std::uint64_t> RegionSource::size() { return reader_.regions()[region_].size; }

Result<std::size_t> RegionSource::read_at(std::uint64_t offset, std::span<std::byte> out) {
  const std::uint64_t bytes = reader_.regions()[region_].size;
  const std::uint64_t left = offset < bytes ? bytes - offset : 0;
  const auto part = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), left)));
  const auto read = reader_.read(region_, offset, part);
  if (!read && failed_ != nullptr) *failed_ = true;
  SNAP_TRY(read);
  return part.size();
}

Result<Extent> RegionSource::extent(std::uint64_t offset) {
  auto extent = reader_.extent(region_, offset);
  if (!extent && failed_ != nullptr) *failed_ = true;
  return extent;
}

Result<void> write_region(Writer& writer, const RegionInfo& info, RegionSource& source, std::atomic<std::uint64_t>* progress,
                          const std::atomic<bool>* cancel) {
  SNAP_TRY(writer.begin_region(info));
  // Waits for the workers, whatever happened.
  struct Ending {
    Writer& writer;
    bool ended = false;
    ~Ending() {
      if (!ended) static_cast<void>(writer.end_region());
    }
  } ending{writer};
  SNAP_TRY(write_content(writer, info.size, source, progress, cancel));
  ending.ended = true;
  return writer.end_region();
}

}  // namespace snap

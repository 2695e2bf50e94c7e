// SPDX-License-Identifier: Apache-2.0
#include "vmm/xen_superseded.h"

#include <unistd.h>

#include <algorithm>

#include "base/fail.h"
#include "vmm/spool.h"
#include "vmm/xen.h"
#include "vmm/xen_recipe.h"

namespace snap {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;

/// Walks a recipe as the file came, and writes the bodies that are marked.
class SupersededState {
 public:
  SupersededState(Reader& first, LateLog& log, Writer& writer, const ImportOptions& options, std::atomic<bool>* reads_failed)
      : first_(first), log_(log), writer_(writer), options_(options), reads_failed_(reads_failed) {}

  Result<void> write(std::span<const std::byte> recipe, std::uint64_t count) {
    const auto ram = first_.find(RegionKind::kMemory, kXenRamName);
    if (!ram) return corrupt(0, "the first snapshot of the import has no memory");
    ram_ = *ram;
    SNAP_TRY(writer_.begin_region({RegionKind::kState, std::string(kXenSupersededState), count * kPageBytes, 12, {}}));
    XenRecipeReader pieces(recipe);
    SNAP_TRY(pieces.open());
    while (true) {
      SNAP_TRY_ASSIGN(piece, pieces.next());
      if (piece.kind == XenPiece::kEnd) return writer_.end_region();
      for (const XenRun& run : piece.runs) {
        if (has_xen_body(run.type)) SNAP_TRY(bodies(run));
      }
    }
  }

 private:
  /// What was in time stands in the first snapshot's region: a run begins with what was late.
  Result<void> bodies(const XenRun& run) {
    if (options_.cancel != nullptr && *options_.cancel) return fail(Code::kCancelled, "cancelled");
    const std::uint64_t end = run.first + run.count;
    const std::uint64_t in_time = std::clamp(next_frame_, run.first, end);
    const std::uint64_t late = in_time - run.first;
    if (run.superseded) {
      SNAP_TRY(late_pages(late));
      SNAP_TRY(first_pages(in_time, end));
    }
    late_count_ += late;
    next_frame_ = std::max(next_frame_, end);
    return {};
  }

  Result<void> late_pages(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      SNAP_TRY_ASSIGN(page, log_.page(late_count_ + i));
      SNAP_TRY(writer_.write(page));
    }
    return {};
  }

  Result<void> first_pages(std::uint64_t begin, std::uint64_t end) {
    while (begin < end) {
      const std::uint64_t count = std::min<std::uint64_t>(end - begin, kBufferBytes / kPageBytes);
      buffer_.resize(static_cast<std::size_t>(count * kPageBytes));
      const auto read = first_.read(ram_, begin * kPageBytes, buffer_);
      if (!read && reads_failed_ != nullptr) *reads_failed_ = true;
      SNAP_TRY(read);
      SNAP_TRY(writer_.write(buffer_));
      begin += count;
    }
    return {};
  }

  Reader& first_;
  LateLog& log_;
  Writer& writer_;
  const ImportOptions& options_;
  std::atomic<bool>* reads_failed_;
  std::size_t ram_ = 0;
  std::uint64_t next_frame_ = 0;
  std::uint64_t late_count_ = 0;
  Bytes buffer_;
};

}  // namespace

LateLog::~LateLog() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> LateLog::append(std::span<const std::byte> page) {
  snap::append(buffer_, page);
  return buffer_.size() < kBufferBytes ? Result<void>() : flush();
}

Result<void> LateLog::flush() {
  if (buffer_.empty()) return {};
  SNAP_TRY(write_spool(fd_, spool_dir_fd_, buffer_, written_));
  written_ += buffer_.size();
  buffer_.clear();
  return {};
}

Result<std::span<const std::byte>> LateLog::page(std::uint64_t number) {
  const std::uint64_t at = number * kPageBytes;
  if (at < buffer_at_ || at - buffer_at_ >= buffer_.size()) {
    if (at >= written_) return truncated(at, "the spool file became shorter");
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, written_ - at)));
    buffer_at_ = at;
    PosixSource spool(fd_);
    SNAP_TRY(read_exact(spool, at, buffer_, "the spool file became shorter"));
  }
  return std::span<const std::byte>(buffer_).subspan(static_cast<std::size_t>(at - buffer_at_), kPageBytes);
}

Result<void> XenCorrections::apply(Reader& first, Writer& second, const ImportOptions& options, std::atomic<bool>* reads_failed) {
  SNAP_TRY(RamCorrections::apply(first, second, options, reads_failed));
  if (superseded_count_ == 0) return {};
  return SupersededState(first, *log_, second, options, reads_failed).write(recipe_, superseded_count_);
}

}  // namespace snap

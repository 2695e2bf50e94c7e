// SPDX-License-Identifier: Apache-2.0
// Pages of a live migration that were not their frames' last ones: no part of the guest's memory, but of the bytes that came.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "snap/import.h"
#include "vmm/ram_intake.h"

namespace snap {

/// All pages that came late, in their order, in a spool file.
class LateLog {
 public:
  explicit LateLog(int spool_dir_fd) : spool_dir_fd_(spool_dir_fd) {}
  ~LateLog();
  LateLog(const LateLog&) = delete;
  LateLog& operator=(const LateLog&) = delete;

  Result<void> append(std::span<const std::byte> page);
  /// After the last append().
  Result<void> flush();
  /// The page with that number; asked for in ascending order mostly.
  Result<std::span<const std::byte>> page(std::uint64_t number);

 private:
  int spool_dir_fd_;
  int fd_ = -1;
  std::uint64_t written_ = 0;
  Bytes buffer_;               // not written yet; afterwards what was read
  std::uint64_t buffer_at_ = 0;
};

/// The first snapshot has the whole recipe; the second one gets what it asks for besides memory.
class XenCorrections final : public RamCorrections {
 public:
  XenCorrections(std::unique_ptr<LatePages> late, std::unique_ptr<LateLog> log, Bytes recipe, std::uint64_t superseded_count)
      : RamCorrections(std::move(late)), log_(std::move(log)), recipe_(std::move(recipe)), superseded_count_(superseded_count) {}
  Result<void> apply(Reader& first, Writer& second, const ImportOptions& options, std::atomic<bool>* reads_failed) override;

 private:
  std::unique_ptr<LateLog> log_;
  Bytes recipe_;
  std::uint64_t superseded_count_;
};

}  // namespace snap

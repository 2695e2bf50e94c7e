// SPDX-License-Identifier: Apache-2.0
// Puts a region's bytes into jobs, whichever way they come.
#pragma once

#include <atomic>
#include <cstdint>

#include "write/pipeline.h"

namespace snap {

/// One thread at a time, except taken_bytes(). Who calls has made sure that the region has room.
class Filler {
 public:
  Filler(Pipeline& pipeline, const Header& header, const Delta* delta) : pipeline_(pipeline), header_(header), delta_(delta) {}

  void start(std::uint16_t region);
  /// Bytes of the region so far.
  std::uint64_t position() const { return position_; }

  Result<void> bytes(std::span<const std::byte> bytes);
  Result<void> zeros(std::uint64_t count);
  Result<void> source(RandomSource& source, std::uint64_t offset, std::uint64_t length);
  /// All of a stream; nothing can follow it. More than `most` bytes are an error.
  Result<void> rest(ByteSource& stream, std::uint64_t most);
  /// Until all jobs, a begun one among them, are committed.
  Result<void> finish();

  std::uint64_t taken_bytes() const { return taken_; }
  /// A spool counts when it is filled, not again when it is read.
  void count_taken(std::uint64_t bytes) { taken_ += bytes; }
  void forget_taken(std::uint64_t bytes) { taken_ -= bytes; }

 private:
  std::size_t job_bytes() const;
  std::size_t room() const { return filling_->capacity() - filling_->filled(); }
  Result<void> need_job();
  Result<void> submit();
  template <typename Take>
  Result<void> fill(std::uint64_t count, Take take);
  Result<void> fill_zeros(std::uint64_t count);
  Result<std::uint64_t> zeros_without_records(std::uint64_t most);
  Result<std::uint64_t> source_piece(RandomSource& source, std::uint64_t offset, std::uint64_t length);

  Pipeline& pipeline_;
  const Header& header_;
  const Delta* delta_;
  std::uint16_t region_ = 0;
  std::uint64_t position_ = 0;
  Job* filling_ = nullptr;
  std::atomic<std::uint64_t> taken_{0};
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// Sources and sinks that end with kCancelled once a signal came, and remember whether they failed: of two files, whose error it
// was.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "snap/io.h"

namespace snap::tool {

class GuardedSource final : public RandomSource {
 public:
  explicit GuardedSource(std::unique_ptr<RandomSource> inner) : inner_(std::move(inner)) {}
  Result<std::uint64_t> size() override { return note(inner_->size()); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override;
  Result<void> read_batch(std::span<ReadRequest> batch) override;
  Result<std::uint64_t> next_data(std::uint64_t offset) override { return note(inner_->next_data(offset)); }
  bool failed() const { return failed_; }

 private:
  template <typename T>
  Result<T> note(Result<T> result) {
    if (!result) failed_ = true;
    return result;
  }

  std::unique_ptr<RandomSource> inner_;
  std::atomic<bool> failed_{false};
};

/// A pipe whose first bytes can be looked at before they are read. A wait for its writer ends with a signal.
class GuardedStream final : public ByteSource {
 public:
  explicit GuardedStream(int fd) : fd_(fd), inner_(stream_source(fd)) {}
  /// A wait that takes longer is an error.
  void limit_wait(std::chrono::seconds limit) { limit_ = limit; }
  Result<std::size_t> read(std::span<std::byte> out) override;
  /// The next `bytes` bytes, or what there is up to the end.
  Result<std::span<const std::byte>> peek(std::size_t bytes);
  /// Counts bytes read in `counter` as well.
  void count_in(std::atomic<std::uint64_t>& counter) { counter_ = &counter; }
  std::uint64_t taken_bytes() const { return taken_; }
  bool failed() const { return failed_; }

 private:
  Result<std::size_t> read_inner(std::span<std::byte> out);
  void count(std::size_t bytes);

  int fd_;
  std::optional<std::chrono::seconds> limit_;
  std::unique_ptr<ByteSource> inner_;
  std::vector<std::byte> peeked_;
  std::uint64_t taken_ = 0;
  std::atomic<std::uint64_t>* counter_ = nullptr;
  bool failed_ = false;
};

/// A wait for the reader of a pipe ends with a signal.
class GuardedSink final : public ByteSink {
 public:
  explicit GuardedSink(int fd);
  Result<void> write(std::span<const std::byte> bytes) override;
  std::uint64_t taken_bytes() const { return taken_; }

 private:
  Result<void> write_pipe(std::span<const std::byte> bytes);

  int fd_;
  bool is_pipe_;
  std::unique_ptr<ByteSink> inner_;
  std::atomic<std::uint64_t> taken_{0};
};

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// Sources and sinks that count, and that fail when told to.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include "snap/io.h"

namespace snap::test {

/// Which operation fails, and how. Shared by everything that takes part in one run.
class Fault {
 public:
  enum class Kind { kError, kFullDisk, kShort };
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  void arm(std::uint64_t at, Kind kind, bool sticky) {
    count_ = 0;
    hit_ = false;
    at_ = at;
    kind_ = kind;
    sticky_ = sticky;
  }
  /// Counts one operation; true where it is to fail.
  bool now() {
    const std::uint64_t number = count_++;
    const bool fails = sticky_ ? number >= at_ : number == at_;
    if (fails) hit_ = true;
    return fails;
  }
  bool hit() const { return hit_; }
  std::uint64_t count() const { return count_; }
  Kind kind() const { return kind_; }
  Error error() const { return {Code::kIo, static_cast<std::int16_t>(kind_ == Kind::kFullDisk ? ENOSPC : EIO), 0, 0, "a fault of the test's", 0}; }

 private:
  std::atomic<std::uint64_t> count_{0};
  std::atomic<bool> hit_{false};
  std::uint64_t at_ = kNever;
  Kind kind_ = Kind::kError;
  bool sticky_ = false;
};

/// kShort: the file seems to end inside the read.
class FaultySource final : public RandomSource {
 public:
  FaultySource(RandomSource& inner, Fault& fault) : inner_(inner), fault_(fault) {}
  Result<std::uint64_t> size() override {
    if (fault_.kind() != Fault::Kind::kShort && fault_.now()) return fault_.error();
    return inner_.size();
  }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    if (!fault_.now()) return inner_.read_at(offset, out);
    if (fault_.kind() != Fault::Kind::kShort) return fault_.error();
    return inner_.read_at(offset, out.first(out.size() / 2));
  }

 private:
  RandomSource& inner_;
  Fault& fault_;
};

/// kShort: the stream gives one byte at a time, which is legal.
class FaultyStream final : public ByteSource {
 public:
  FaultyStream(ByteSource& inner, Fault& fault) : inner_(inner), fault_(fault) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    if (!fault_.now()) return inner_.read(out);
    if (fault_.kind() != Fault::Kind::kShort) return fault_.error();
    return inner_.read(out.first(std::min<std::size_t>(1, out.size())));
  }

 private:
  ByteSource& inner_;
  Fault& fault_;
};

/// kShort: half of the bytes are taken, then the disk is full.
class FaultySink final : public ByteSink {
 public:
  FaultySink(ByteSink& inner, Fault& fault) : inner_(inner), fault_(fault) {}
  Result<void> write(std::span<const std::byte> bytes) override {
    if (!fault_.now()) return inner_.write(bytes);
    if (fault_.kind() == Fault::Kind::kShort) {
      if (auto half = inner_.write(bytes.first(bytes.size() / 2)); !half) return half;
    }
    return fault_.error();
  }

 private:
  ByteSink& inner_;
  Fault& fault_;
};

/// Counts reads, and may slow them down so that threads meet.
class CountingSource final : public RandomSource {
 public:
  explicit CountingSource(RandomSource& inner, unsigned delay_us = 0) : inner_(inner), delay_us_(delay_us) {}
  Result<std::uint64_t> size() override { return inner_.size(); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    ++reads;
    bytes += out.size();
    {
      const std::lock_guard lock(mutex_);
      offsets.insert(offset);
    }
    if (delay_us_ != 0) std::this_thread::sleep_for(std::chrono::microseconds(delay_us_));
    return inner_.read_at(offset, out);
  }
  Result<void> read_batch(std::span<ReadRequest> batch) override {
    ++batches;
    return RandomSource::read_batch(batch);
  }
  Result<std::uint64_t> next_data(std::uint64_t offset) override { return inner_.next_data(offset); }
  void reset() {
    reads = 0;
    batches = 0;
    bytes = 0;
    offsets.clear();
  }
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::uint64_t> batches{0};
  std::atomic<std::uint64_t> bytes{0};
  std::multiset<std::uint64_t> offsets;

 private:
  RandomSource& inner_;
  unsigned delay_us_;
  std::mutex mutex_;
};

}  // namespace snap::test

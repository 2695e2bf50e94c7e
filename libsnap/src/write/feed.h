// SPDX-License-Identifier: Apache-2.0
// A stream that the writer's threads read themselves, each the next piece of it, so that a core compresses what it read.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "snap/io.h"

namespace snap {

/// Pieces are read in the order of their turns, 0 and up; every turn has to be passed, whether something was read in it or not.
class Feed {
 public:
  /// More than `most` bytes are an error. `taken` counts what comes.
  Feed(ByteSource& source, std::uint64_t most, std::atomic<std::uint64_t>& taken) : source_(source), most_(most), taken_(taken) {}

  void wait_for(std::uint64_t turn);
  void pass();
  /// By whose turn it is: bytes until `out` is full or the stream ends.
  Result<std::size_t> read(std::span<std::byte> out);

  /// From any thread.
  bool ended() const { return ended_; }
  /// Of all turns that were passed.
  std::uint64_t total() const { return total_; }

 private:
  ByteSource& source_;
  std::uint64_t most_;
  std::atomic<std::uint64_t>& taken_;
  std::uint64_t total_ = 0;
  std::atomic<bool> ended_{false};
  std::mutex mutex_;
  std::condition_variable passed_;
  std::uint64_t turn_ = 0;
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// A stream put together of bytes and of pieces of a snapshot's regions, which threads read ahead while the caller's writes in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/threads.h"
#include "snap/import.h"
#include "snap/io.h"
#include "snap/reader.h"

namespace snap {

/// One thread at a time. After an error nothing more may be added.
class Assembly {
 public:
  /// options.threads threads read; 0: the caller's does. Progress counts bytes of regions.
  Assembly(Reader& reader, ByteSink& sink, const ExportOptions& options);
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  Result<void> start();
  Result<void> bytes(std::span<const std::byte> bytes);
  /// Room for the next bytes, at most kMostRoom, to be filled before the next call.
  Result<std::span<std::byte>> room(std::size_t bytes);
  /// Bytes [offset, +length) of a region.
  Result<void> region(std::size_t region, std::uint64_t offset, std::uint64_t length);
  Result<void> finish();

  static constexpr std::size_t kMostRoom = 64 * 1024;

 private:
  static constexpr std::size_t kPiece = 1u << 20;         // a slot with as much goes out
  static constexpr std::size_t kSlotBytes = 2 * kPiece;
  struct Part {
    std::size_t region = 0;
    std::uint64_t offset = 0;
    std::size_t at = 0;
    std::size_t length = 0;
  };
  enum class State { kFree, kReady, kRead };
  struct Slot {
    Bytes bytes;
    std::size_t used = 0;
    std::vector<Part> parts;
    State state = State::kFree;
    Error error;
  };

  Slot& slot() { return slots_[next_ % slots_.size()]; }
  Result<void> pass() { return slot().used < kPiece ? Result<void>() : submit(); }
  Result<void> submit();
  /// Until the slot is read; then it goes out.
  Result<void> write(Slot& slot);
  Result<void> read(Slot& slot);
  void work();

  Reader& reader_;
  ByteSink& sink_;
  const ExportOptions& options_;
  std::vector<Slot> slots_;
  std::uint64_t next_ = 0;     // slot that is being filled
  std::uint64_t reading_ = 0;  // slot that a thread takes next
  std::uint64_t written_ = 0;
  bool ends_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  ThreadGroup threads_;
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// A stream that is made while nobody takes it yet: QEMU's start and the decoding of what it is to be given go on side by side.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "snap/io.h"

namespace snap::tool {

class Ahead {
 public:
  /// Starts a thread that runs `make`; at most kMostBytes wait to be taken.
  explicit Ahead(std::function<Result<void>(ByteSink&)> make);
  /// Ends the thread, whether or not all was taken.
  ~Ahead();
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;

  /// Takes all of it. An error of `sink` leaves made() without one.
  Result<void> pass_to(ByteSink& sink);
  /// How making it ended, once pass_to() came to the end.
  const Result<void>& made() const { return made_; }

 private:
  static constexpr std::size_t kMostBytes = 64u << 20;
  class Queue;

  Result<void> put(std::span<const std::byte> bytes);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<std::byte>> pieces_;
  std::size_t bytes_ = 0;
  bool ended_ = false;  // made_ is known
  bool stop_ = false;   // nobody takes any more
  Result<void> made_;
  std::thread thread_;
};

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// Threads that are joined whatever happens.
#pragma once

#include <system_error>
#include <thread>
#include <vector>

#include "base/fail.h"

namespace snap {

class ThreadGroup {
 public:
  ThreadGroup() = default;
  ~ThreadGroup() { join(); }
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  /// Starts `count` threads that run work(i). After an error those that started still run.
  template <typename Work>
  Result<void> start(unsigned count, Work work) {
    threads_.reserve(threads_.size() + count);
    try {
      for (unsigned i = 0; i < count; ++i) threads_.emplace_back(work, i);
    } catch (const std::system_error& error) {
      return io_error("cannot start a thread", 0, error.code().value());
    }
    return {};
  }

  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::vector<std::thread> threads_;
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// A stream that is made while nobody takes it yet: QEMU's start and the decoding of what it is to be given go on side by side.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "pipe.h"
#include "snap/io.h"

namespace snap::tool {

class Ahead {
 public:
  /// Starts a thread that runs `make` on the writing end of a pipe.
  explicit Ahead(std::function<Result<void>(ByteSink&)> make);
  /// Ends the thread, whether or not all was taken.
  ~Ahead();
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;

  /// Its reading end, to be handed on and then let go: with the last one gone, writing ends.
  Fd& reading_end() { return pipe_.read; }

  struct End {
    Result<void> made;      ///< how `make` ended
    bool not_taken = false; ///< the pipe was why, and not what goes into it
    std::uint64_t bytes = 0;
  };
  /// Waits until all is taken, or nobody takes any more.
  End wait();

 private:
  Pipe pipe_;
  std::atomic<bool> stop_{false};
  PipeSink sink_;
  Result<void> made_;
  std::thread thread_;
};

}  // namespace snap::tool

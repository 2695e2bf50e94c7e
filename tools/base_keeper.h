// SPDX-License-Identifier: Apache-2.0
// The process that keeps a base's memory file open while nobody else does.
#pragma once

#include "open.h"

namespace snap::tool {

/// The keeper's descriptor of the memory.
constexpr int kKeptFd = 3;

/// A keeper that ends again unless it is confirmed: who made it may be killed before others can find it.
class Keeper {
 public:
  /// Starts it, with a copy of the descriptor. Ends the command where that fails.
  explicit Keeper(int memory_fd);
  int process() const { return process_; }
  void confirm();

 private:
  int process_ = 0;
  Fd confirm_;
};

/// What the keeper runs, called as "vmsnap base-keeper": until SIGTERM.
int keep_base();

}  // namespace snap::tool

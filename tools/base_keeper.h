// SPDX-License-Identifier: Apache-2.0
// The process that keeps a base's memory file open while nobody else does.
#pragma once

#include <string>

#include "open.h"

namespace snap::tool {

/// The keeper's descriptor of the memory.
constexpr int kKeptFd = 3;

/// A keeper that ends again unless it is confirmed: who made it may be killed before others can find it.
class Keeper {
 public:
  /// Starts it, with a copy of the descriptor. Ends the command where that fails. `registration`: the file by which others find it.
  Keeper(int memory_fd, const std::string& registration);
  int process() const { return process_; }
  void confirm();

 private:
  int process_ = 0;
  Fd confirm_;
};

/// What the keeper runs, called as "vmsnap base-keeper REGISTRATION": until SIGTERM, or until nobody can find it any more.
int keep_base(const char* registration);

}  // namespace snap::tool

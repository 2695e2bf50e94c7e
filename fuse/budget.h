// SPDX-License-Identifier: Apache-2.0
// One limit for what all open snapshots keep decoded.
#pragma once

#include <cstddef>
#include <mutex>
#include <set>

#include "snap/reader.h"

namespace snap::view {

/// Any thread may call any method.
class Budget {
 public:
  explicit Budget(std::size_t bytes) : bytes_(bytes) {}

  /// A snapshot and its parents.
  void add(Reader& reader) {
    const std::lock_guard lock(mutex_);
    for (Reader* each = &reader; each != nullptr; each = each->parent()) readers_.insert(each);
    share();
  }
  void remove(Reader& reader) {
    const std::lock_guard lock(mutex_);
    for (Reader* each = &reader; each != nullptr; each = each->parent()) readers_.erase(each);
    share();
  }

 private:
  // A reader takes its memory in pieces of 2 MiB at most, but of no more than it had.
  void share() {
    if (readers_.empty()) return;
    constexpr std::size_t kCoarse = 4u << 20;
    const std::size_t part = bytes_ / readers_.size();
    for (Reader* each : readers_) each->limit_cache(part < kCoarse ? part / 2 : part);
  }

  std::size_t bytes_;
  std::mutex mutex_;
  std::set<Reader*> readers_;
};

}  // namespace snap::view

// SPDX-License-Identifier: Apache-2.0
// What the kernel holds a number of. It does not always say when it lets go: not at the end of a mount.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace snap::view {

/// Any thread may call any method.
template <typename T>
class Registry {
 public:
  std::uint64_t keep(std::unique_ptr<T> thing) {
    const std::lock_guard lock(mutex_);
    T* const number = thing.get();
    things_.emplace(number, std::move(thing));
    return reinterpret_cast<std::uint64_t>(number);
  }
  static T& of(std::uint64_t number) { return *reinterpret_cast<T*>(number); }
  void drop(std::uint64_t number) {
    std::unique_ptr<T> last;  // ends without the lock
    const std::lock_guard lock(mutex_);
    const auto at = things_.find(reinterpret_cast<T*>(number));
    if (at == things_.end()) return;
    last = std::move(at->second);
    things_.erase(at);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<T*, std::unique_ptr<T>> things_;
};

}  // namespace snap::view

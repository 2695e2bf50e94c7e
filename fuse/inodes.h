// SPDX-License-Identifier: Apache-2.0
// What the kernel knows by number.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "tree.h"

namespace snap::view {

/// A node of the tree of a snapshot; with no tree, the shelf.
struct Place {
  std::shared_ptr<Tree> tree;
  std::size_t node = Tree::kRoot;
};

/// A tree stays open for as long as the kernel knows one of its nodes. Any thread may call any method.
class Inodes {
 public:
  static constexpr std::uint64_t kRoot = 1;

  explicit Inodes(Place root) { places_.emplace(kRoot, Known{std::move(root), 1}); }

  Place find(std::uint64_t inode) const {
    const std::lock_guard lock(mutex_);
    const auto at = places_.find(inode);
    return at == places_.end() ? Place{} : at->second.place;
  }

  /// The number of a place, which the kernel is about to be told once more.
  std::uint64_t remember(const Place& place) {
    const std::lock_guard lock(mutex_);
    std::uint64_t& number = numbers_[{place.tree.get(), place.node}];
    if (number == 0) {
      number = ++last_;
      places_.emplace(number, Known{place, 0});
    }
    ++places_[number].times;
    return number;
  }

  /// The kernel has forgotten it that many times.
  void forget(std::uint64_t number, std::uint64_t times) {
    Place last;  // closes what it closes without the lock
    const std::lock_guard lock(mutex_);
    const auto at = places_.find(number);
    if (number == kRoot || at == places_.end()) return;
    at->second.times -= times < at->second.times ? times : at->second.times;
    if (at->second.times != 0) return;
    last = std::move(at->second.place);
    numbers_.erase({last.tree.get(), last.node});
    places_.erase(at);
  }

 private:
  struct Known {
    Place place;
    std::uint64_t times = 0;
  };
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Known> places_;
  std::map<std::pair<const Tree*, std::size_t>, std::uint64_t> numbers_;
  std::uint64_t last_ = kRoot;
};

}  // namespace snap::view

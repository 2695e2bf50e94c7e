// SPDX-License-Identifier: Apache-2.0
#include "housekeeper.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "lowlevel.h"

namespace snap::view {

namespace {
constexpr std::chrono::seconds kTidyEvery(5);
}

Housekeeper::Housekeeper(fuse_session* session, std::function<void()> tidy)
    : session_(session), tidy_(std::move(tidy)), thread_([this] { run(); }) {}

Housekeeper::~Housekeeper() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  more_.notify_all();
  thread_.join();
}

void Housekeeper::invalidate(std::uint64_t inode, std::int64_t offset, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::int64_t end = offset + static_cast<std::int64_t>(bytes);
  const auto [at, is_new] = pages_.try_emplace(inode, offset, end);
  at->second = {std::min(at->second.first, offset), std::max(at->second.second, end)};
  if (is_new) more_.notify_all();
}

void Housekeeper::hurry() {
  const std::lock_guard lock(mutex_);
  hurry_ = true;
  more_.notify_all();
}

void Housekeeper::run() {
  std::unique_lock lock(mutex_);
  while (!over_) {
    const bool timely = !more_.wait_for(lock, kTidyEvery, [this] { return over_ || hurry_ || !pages_.empty(); });
    if (over_) return;
    const auto pages = std::exchange(pages_, {});
    const bool tidy = std::exchange(hurry_, false) || timely;
    lock.unlock();
    for (const auto& [inode, part] : pages) fuse_lowlevel_notify_inval_inode(session_, inode, part.first, part.second - part.first);
    try {
      if (tidy) tidy_();
    } catch (const std::bad_alloc&) {
      // The next time, perhaps.
    }
    lock.lock();
  }
}

}  // namespace snap::view

// SPDX-License-Identifier: Apache-2.0
#include "write/feed.h"

#include <algorithm>

#include "base/fail.h"

namespace snap {

void Feed::wait_for(std::uint64_t turn) {
  std::unique_lock lock(mutex_);
  passed_.wait(lock, [&] { return turn_ == turn; });
}

void Feed::pass() {
  const std::lock_guard lock(mutex_);
  ++turn_;
  passed_.notify_all();
}

Result<std::size_t> Feed::read(std::span<std::byte> out) {
  if (ended_) return std::size_t{0};
  const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), most_ - total_));
  SNAP_TRY_ASSIGN(got, read_full(source_, out.first(now)));
  total_ += got;
  taken_ += got;
  if (got == out.size()) return got;
  ended_ = true;
  if (got == now) {  // as much as there may be
    std::byte more[1];
    SNAP_TRY_ASSIGN(extra, source_.read(more));
    if (extra != 0) return invalid("more bytes than the region has", total_);
  }
  return got;
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "vmm/forward.h"

#include <algorithm>

namespace snap {

Result<std::size_t> ForwardStream::refill() {
  if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) return fail(Code::kCancelled, "cancelled", offset());
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  buffer_offset_ += begin_;
  end_ -= begin_;
  begin_ = 0;
  SNAP_TRY_ASSIGN(got, source_.read(std::span(buffer_).subspan(end_)));
  end_ += got;
  if (options_.progress != nullptr) options_.progress->fetch_add(got, std::memory_order_relaxed);
  return got;
}

Result<void> ForwardStream::fill(std::size_t count, const char* what) {
  if (count > buffer_.size()) return invalid("more bytes at once than a buffer holds", count);
  while (end_ - begin_ < count) {
    SNAP_TRY_ASSIGN(got, refill());
    if (got == 0) return truncated(buffer_offset_ + end_, what);
  }
  return {};
}

Result<std::span<const std::byte>> ForwardStream::look_around(std::size_t least) {
  while (end_ - begin_ < least) {
    SNAP_TRY_ASSIGN(got, refill());
    if (got == 0) break;
  }
  return std::span<const std::byte>(buffer_).subspan(begin_, end_ - begin_);
}

Result<void> ForwardStream::skip(std::uint64_t count, const char* what) {
  while (count != 0) {
    if (begin_ == end_) SNAP_TRY(fill(1, what));
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(count, end_ - begin_));
    begin_ += now;
    count -= now;
  }
  return {};
}

Result<void> ForwardStream::take_into(std::span<std::byte> out, const char* what) {
  while (!out.empty()) {
    if (begin_ == end_) SNAP_TRY(fill(1, what));
    const std::size_t now = std::min(out.size(), end_ - begin_);
    std::memcpy(out.data(), buffer_.data() + begin_, now);
    begin_ += now;
    out = out.subspan(now);
  }
  return {};
}

Result<void> ForwardStream::take_rest(Bytes& to, std::size_t most, const char* too_many) {
  while (true) {
    if (end_ - begin_ > most - to.size()) return fail(Code::kLimit, too_many, offset());
    append(to, std::span(buffer_).subspan(begin_, end_ - begin_));
    begin_ = end_;
    SNAP_TRY_ASSIGN(got, refill());
    if (got == 0) return {};
  }
}

}  // namespace snap

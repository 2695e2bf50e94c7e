// SPDX-License-Identifier: Apache-2.0
#include "check/scan.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"

namespace snap {

Result<std::span<const std::byte>> Scanner::bytes(std::uint64_t offset, std::size_t count) {
  if (offset >= size_) return std::span<const std::byte>();
  count = static_cast<std::size_t>(std::min<std::uint64_t>(count, size_ - offset));
  if (offset < start_ || offset + count > start_ + buffer_.size()) {
    const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(std::max(count, kReadAhead), size_ - offset));
    buffer_.resize(want);
    start_ = offset;
    SNAP_TRY_ASSIGN(got, source_.read_at(offset, buffer_));
    buffer_.resize(got);  // a file that became shorter meanwhile
  }
  const std::size_t at = static_cast<std::size_t>(offset - start_);
  return std::span<const std::byte>(buffer_).subspan(at, std::min(count, buffer_.size() - at));
}

Result<Record> Scanner::head(std::uint64_t offset) {
  SNAP_TRY_ASSIGN(at, bytes(offset, sizeof(wire::RecordHead)));
  return parse_head(at, offset);
}

Result<std::optional<Record>> Scanner::next_head(std::uint64_t from) {
  while (from + sizeof(wire::RecordHead) <= size_) {
    SNAP_TRY_ASSIGN(window, bytes(from, kReadAhead));
    if (window.size() < sizeof(wire::RecordHead)) break;
    std::span<const std::byte> left = window;
    while (left.size() >= sizeof(wire::RecordHead)) {
      const auto* at = static_cast<const std::byte*>(::memmem(left.data(), left.size(), wire::kRecordMagic, sizeof wire::kRecordMagic));
      if (at == nullptr) {
        left = left.last(sizeof wire::kRecordMagic - 1);
        break;
      }
      left = left.subspan(static_cast<std::size_t>(at - left.data()));
      if (left.size() < sizeof(wire::RecordHead)) break;
      if (const auto found = parse_head(left, from + (window.size() - left.size()))) return std::optional(*found);
      left = left.subspan(1);
    }
    // What is left is too short for a head; it is looked at again together with what follows.
    from += window.size() - left.size();
  }
  return std::optional<Record>();
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "read/front_pages.h"

#include <algorithm>
#include <cstring>

namespace snap {

namespace {
constexpr std::uint32_t kMostPages = 4;  // more is a reader who goes on
}

bool decode_front(const BlockView& view, std::size_t offset, std::span<std::byte> out, Scratch& scratch) {
  const auto first = static_cast<std::uint32_t>(offset / kPageBytes);
  const auto last = static_cast<std::uint32_t>((offset + out.size() + kPageBytes - 1) / kPageBytes);
  if (view.codec() != Codec::kLz4 || view.over_parent() || last - first > kMostPages || last == view.pages()) return false;
  std::uint32_t before = 0, stored = 0;  // stored pages before `first`, and before `last`
  for (std::uint32_t page = 0; page < last; ++page) {
    const wire::PageKind kind = view.kind(page);
    if (page >= first && kind != wire::kRaw && kind != wire::kZero) return false;
    if (page == first) before = stored;
    stored += BlockView::is_stored(kind) ? 1 : 0;
  }
  if (stored == before) before = 0, stored = 0;  // zeros alone
  if (stored * 4 > view.stored_pages() * 3) return false;
  const std::size_t bytes = std::size_t{stored} * kPageBytes;
  scratch.payload.resize(std::max(scratch.payload.size(), bytes));
  if (!Decompressor::decompress_front(view.codec(), view.payload(), std::span(scratch.payload).first(bytes))) return false;
  const std::byte* from = scratch.payload.data() + std::size_t{before} * kPageBytes;
  for (std::uint32_t page = first; page < last; ++page) {
    const std::size_t begin = page == first ? offset % kPageBytes : 0;
    const std::size_t length = std::min(out.size(), kPageBytes - begin);
    if (view.kind(page) == wire::kZero) {
      std::memset(out.data(), 0, length);
    } else {
      std::memcpy(out.data(), from + begin, length);
      from += kPageBytes;
    }
    out = out.subspan(length);
  }
  return true;
}

std::optional<CopyRef> lone_copy(const BlockView& view, std::size_t offset, std::size_t bytes) {
  const auto wanted = static_cast<std::uint32_t>(offset / kPageBytes);
  if (offset % kPageBytes + bytes > kPageBytes || wanted + 1 == view.pages() || view.kind(wanted) != wire::kCopy) return std::nullopt;
  std::uint32_t copies = 0;
  for (std::uint32_t page = 0; page < wanted; ++page) copies += view.kind(page) == wire::kCopy ? 1 : 0;
  return view.copy(copies);
}

}  // namespace snap

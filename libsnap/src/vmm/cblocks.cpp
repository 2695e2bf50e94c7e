// SPDX-License-Identifier: Apache-2.0
#include "vmm/cblocks.h"

#include <algorithm>

#include "base/fail.h"
#include "vmm/big_endian.h"

namespace snap {
namespace {

constexpr std::size_t kHeadBytes = 4;

}  // namespace

bool CblockReader::parse_head(const std::byte* at) {
  const std::uint32_t length = load_be16(at + 2);
  if (load_be16(at) != kCblockMagic) {
    ending_ = corrupt(read_at_, "the RAM section has no compressed block here", load_be16(at));
  } else if (length == 0 || length > kMaxCblockBytes) {
    ending_ = corrupt(read_at_, "a compressed block of the RAM section has an illegal length", length);
  }
  left_ = length;
  return ending_.code == Code::kOk;
}

Result<std::size_t> CblockReader::fill(std::span<std::byte> out) {
  if (ending_.code != Code::kOk) return std::size_t{0};
  marks_[fills_++ % kMarks] = {zlib_offset_, read_at_, left_};
  const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), end_ - std::min(end_, read_at_)));
  SNAP_TRY_ASSIGN(got, stream_.read_at(read_at_, out.first(want)));
  std::size_t taken = 0;  // moved to the front of out
  std::size_t at = 0;
  while (at < got) {
    if (left_ == 0) {
      if (got - at < kHeadBytes) break;  // the next call reads it again, whole
      if (!parse_head(out.data() + at)) break;
      at += kHeadBytes;
      read_at_ += kHeadBytes;
    }
    const std::size_t count = std::min<std::size_t>(left_, got - at);
    std::memmove(out.data() + taken, out.data() + at, count);
    taken += count;
    at += count;
    read_at_ += count;
    left_ -= static_cast<std::uint32_t>(count);
  }
  // A piece's head alone can be all there was: then its bytes are what the stream lacks.
  if (taken == 0 && ending_.code == Code::kOk) ending_ = truncated(read_at_ + (got - at), "the RAM section ends early");
  zlib_offset_ += taken;
  return taken;
}

Result<std::uint64_t> CblockReader::piece_end(std::uint64_t zlib_offset) {
  const Mark* mark = nullptr;
  for (const Mark& candidate : marks_) {
    if (candidate.read_at == 0 || candidate.zlib_offset >= zlib_offset) continue;
    if (mark == nullptr || candidate.zlib_offset >= mark->zlib_offset) mark = &candidate;
  }
  if (mark == nullptr) return corrupt(read_at_, "the RAM section has no compressed block here");
  std::uint64_t passed = mark->zlib_offset + mark->left;
  std::uint64_t offset = mark->read_at + mark->left;
  while (passed < zlib_offset) {
    std::byte head[kHeadBytes];
    SNAP_TRY(stream_.read_exact(offset, head, "the RAM section ends early"));
    passed += load_be16(head + 2);
    offset += kHeadBytes + load_be16(head + 2);
  }
  return offset;
}

}  // namespace snap

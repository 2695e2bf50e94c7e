// SPDX-License-Identifier: Apache-2.0
#include "vmm/stream.h"

#include <algorithm>

#include "base/fail.h"
#include "vmm/big_endian.h"

namespace snap {

StreamSource::StreamSource(RandomSource& source, std::uint64_t size, const ImportOptions& options)
    : source_(source), options_(options), size_(size) {}

Result<void> StreamSource::settle_size(std::uint64_t least) {
  if (!wrapped_) return {};
  wrapped_ = false;
  std::uint64_t size = (least & ~std::uint64_t{0xffffffff}) | low_bits_;
  if (size < least) size += std::uint64_t{1} << 32;
  if (size > size_) return truncated(size_, "the VM state lies past the end of the image");
  size_ = size;
  return {};
}

Result<std::size_t> StreamSource::read_at(std::uint64_t offset, std::span<std::byte> out) {
  if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed))
    return fail(Code::kCancelled, "cancelled", offset);
  if (offset >= size_) return std::size_t{0};
  out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size_ - offset)));
  SNAP_TRY_ASSIGN(got, source_.read_at(offset, out));
  // While the size is not settled, what is read ahead may not belong to the stream.
  const std::uint64_t digested = digest_.bytes();
  if (!wrapped_ && offset <= digested && digested < offset + got) {
    const std::size_t known = static_cast<std::size_t>(digested - offset);
    digest_.add(out.subspan(known, got - known));
    if (options_.progress != nullptr) options_.progress->fetch_add(got - known, std::memory_order_relaxed);
  }
  return got;
}

Result<void> StreamSource::read_exact(std::uint64_t offset, std::span<std::byte> out, const char* what) {
  SNAP_TRY_ASSIGN(got, read_at(offset, out));
  if (got != out.size()) return truncated(offset + got, what);
  return {};
}

Result<Digest> StreamSource::digest() {
  Bytes buffer(static_cast<std::size_t>(std::min<std::uint64_t>(size_ - digest_.bytes(), 1u << 20)));
  while (digest_.bytes() < size_) {
    SNAP_TRY_ASSIGN(got, read_at(digest_.bytes(), buffer));
    if (got == 0) return truncated(digest_.bytes(), "the VM state ends early");
  }
  return digest_.digest();
}

StreamCursor::StreamCursor(StreamSource& stream, std::uint64_t offset, std::uint64_t end, std::size_t buffer_bytes)
    : stream_(stream), offset_(offset), end_(std::max(offset, end)), buffer_(buffer_bytes) {}

Result<const std::byte*> StreamCursor::take(std::size_t count, const char* what) {
  if (count > left()) return truncated(end_, what);
  if (filled_ - begin_ < count) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, filled_ - begin_);
    filled_ -= begin_;
    begin_ = 0;
    const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size() - filled_, left() - filled_));
    SNAP_TRY_ASSIGN(got, stream_.read_at(offset_ + filled_, std::span(buffer_).subspan(filled_, room)));
    filled_ += got;
    if (filled_ < count) return truncated(offset_ + filled_, what);
  }
  const std::byte* at = buffer_.data() + begin_;
  begin_ += count;
  offset_ += count;
  return at;
}

Result<std::uint8_t> StreamCursor::take_byte(const char* what) {
  SNAP_TRY_ASSIGN(at, take(1, what));
  return std::to_integer<std::uint8_t>(*at);
}
Result<std::uint32_t> StreamCursor::take_be32(const char* what) {
  SNAP_TRY_ASSIGN(at, take(4, what));
  return load_be32(at);
}
Result<std::uint64_t> StreamCursor::take_be64(const char* what) {
  SNAP_TRY_ASSIGN(at, take(8, what));
  return load_be64(at);
}

Result<void> StreamCursor::skip(std::uint64_t count, const char* what) {
  if (count > left()) return truncated(end_, what);
  const auto buffered = static_cast<std::size_t>(std::min<std::uint64_t>(count, filled_ - begin_));
  begin_ += buffered;
  offset_ += count;
  if (buffered < count) begin_ = filled_ = 0;
  return {};
}

}  // namespace snap

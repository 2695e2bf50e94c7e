// SPDX-License-Identifier: Apache-2.0
// A foreign stream read once, front to back, in pieces that lie together wherever the reads ended.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/fail.h"
#include "snap/import.h"
#include "snap/io.h"
#include "vmm/big_endian.h"

namespace snap {

/// One thread at a time. Counts progress, and ends with kCancelled, once a buffer. Errors name the offset in the stream.
class ForwardStream {
 public:
  static constexpr std::size_t kBufferBytes = 256 * 1024;

  /// `first_offset` is what the offset of the first byte counts as.
  ForwardStream(ByteSource& source, const ImportOptions& options, std::uint64_t first_offset = 0)
      : source_(source), options_(options), buffer_(kBufferBytes), buffer_offset_(first_offset) {}

  /// Of the next byte.
  std::uint64_t offset() const { return buffer_offset_ + begin_; }

  /// The next `count` bytes, at most kBufferBytes; valid until the next call. kTruncated with `what` where the stream ends before.
  Result<const std::byte*> take(std::size_t count, const char* what) {
    SNAP_TRY_ASSIGN(at, look(count, what));
    begin_ += count;
    return at;
  }
  /// The same without taking them.
  Result<const std::byte*> look(std::size_t count, const char* what) {
    if (end_ - begin_ < count) SNAP_TRY(fill(count, what));
    return buffer_.data() + begin_;
  }
  /// All that lies in the buffer without taking it: at least `least` bytes, fewer only where the stream ends.
  Result<std::span<const std::byte>> look_around(std::size_t least = 1);
  Result<std::uint8_t> take_byte(const char* what) { return number<std::uint8_t>(what); }
  Result<std::uint16_t> take_be16(const char* what) { return number<std::uint16_t>(what); }
  Result<std::uint32_t> take_be32(const char* what) { return number<std::uint32_t>(what); }
  Result<std::uint64_t> take_be64(const char* what) { return number<std::uint64_t>(what); }

  Result<void> skip(std::uint64_t count, const char* what);
  /// Fills `out`, however large.
  Result<void> take_into(std::span<std::byte> out, const char* what);
  /// The next bytes up to the stream's end, appended; kLimit with `too_many` where they are more than `most`.
  Result<void> take_rest(Bytes& to, std::size_t most, const char* too_many);

 private:
  template <typename Host>
  Result<Host> number(const char* what) {
    SNAP_TRY_ASSIGN(at, take(sizeof(Host), what));
    return load_be<Host>(at);
  }
  /// Until `count` bytes lie in the buffer.
  Result<void> fill(std::size_t count, const char* what);
  /// Reads once behind what the buffer holds; 0 at the stream's end.
  Result<std::size_t> refill();

  ByteSource& source_;
  const ImportOptions& options_;
  Bytes buffer_;
  std::uint64_t buffer_offset_;      // of the buffer's first byte in the stream
  std::size_t begin_ = 0;            // of the bytes of the buffer not taken yet
  std::size_t end_ = 0;
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// A VM state stream that is read forward, with looks ahead, and hashed on the way.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "snap/import.h"
#include "snap/io.h"
#include "snap/model.h"
#include "vmm/stream_digest.h"

namespace snap {

/// One thread at a time.
class StreamSource {
 public:
  /// With `wrapped_size`, `size` is an upper bound and `low_bits` the low 32 bits of the real size; see settle_size().
  StreamSource(RandomSource& source, std::uint64_t size, const ImportOptions& options);
  void set_wrapped_size(std::uint32_t low_bits) { wrapped_ = true, low_bits_ = low_bits; }

  void set_size(std::uint64_t size) { size_ = size; }  ///< before the first read
  std::uint64_t size() const { return size_; }
  /// The size is the smallest one with the known low bits that is not less than `least`.
  Result<void> settle_size(std::uint64_t least);

  /// Reads all of `out` that the stream has; answers the count.
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out);
  Result<void> read_exact(std::uint64_t offset, std::span<std::byte> out, const char* what);
  /// Of the whole stream; reads what nobody has read yet.
  Result<Digest> digest();

 private:
  RandomSource& source_;
  const ImportOptions& options_;
  std::uint64_t size_;
  bool wrapped_ = false;
  std::uint32_t low_bits_ = 0;
  StreamDigest digest_;  // of the front of the stream
};

/// Takes pieces off a stream in order.
class StreamCursor {
 public:
  StreamCursor(StreamSource& stream, std::uint64_t offset, std::uint64_t end, std::size_t buffer_bytes = 64 * 1024);

  std::uint64_t offset() const { return offset_; }
  std::uint64_t left() const { return end_ - offset_; }
  /// The next `count` bytes, at most the buffer's size; valid until the next call. kTruncated with `what` where they are not
  /// there.
  Result<const std::byte*> take(std::size_t count, const char* what);
  Result<std::uint8_t> take_byte(const char* what);
  Result<std::uint32_t> take_be32(const char* what);
  Result<std::uint64_t> take_be64(const char* what);
  Result<void> skip(std::uint64_t count, const char* what);

 private:
  StreamSource& stream_;
  std::uint64_t offset_;
  std::uint64_t end_;
  Bytes buffer_;
  std::size_t begin_ = 0;  // of the bytes of the buffer not taken yet
  std::size_t filled_ = 0;
};

}  // namespace snap

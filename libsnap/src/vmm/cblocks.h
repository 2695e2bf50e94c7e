// SPDX-License-Identifier: Apache-2.0
// The pieces ("cblocks") that RAM version 2 cuts its zlib stream into: be16 0xfabe, be16 length 1 … 4096, bytes.
#pragma once

#include <array>
#include <cstdint>

#include "vmm/stream.h"

namespace snap {

inline constexpr std::uint16_t kCblockMagic = 0xfabe;
inline constexpr std::uint32_t kMaxCblockBytes = 4096;

/// The zlib stream without the pieces' heads. One thread.
class CblockReader {
 public:
  CblockReader(StreamSource& stream, std::uint64_t begin, std::uint64_t end) : stream_(stream), read_at_(begin), end_(end) {}

  /// Fills `out` from the front with some of the zlib stream; answers 0 where no further piece follows. `out` is at least one
  /// piece with its head long.
  Result<std::size_t> fill(std::span<std::byte> out);
  /// Why fill() answered 0: what an unfinished zlib stream is to be reported as.
  const Error& ending() const { return ending_; }
  /// How far the VM state has been read.
  std::uint64_t position() const { return read_at_; }
  /// The offset in the VM state behind the piece that holds the zlib stream's byte before `zlib_offset`, which must be one of
  /// the last kMarks calls'.
  Result<std::uint64_t> piece_end(std::uint64_t zlib_offset);

  static constexpr std::size_t kMarks = 32;

 private:
  struct Mark {
    std::uint64_t zlib_offset = 0;
    std::uint64_t read_at = 0;
    std::uint32_t left = 0;
  };
  bool parse_head(const std::byte* at);

  StreamSource& stream_;
  std::uint64_t read_at_;
  std::uint64_t end_;
  std::uint32_t left_ = 0;  // of the piece that read_at_ is in
  std::uint64_t zlib_offset_ = 0;
  Error ending_;
  std::array<Mark, kMarks> marks_{};
  std::uint64_t fills_ = 0;
};

}  // namespace snap

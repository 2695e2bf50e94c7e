// SPDX-License-Identifier: Apache-2.0
// Reading a file's records one after another, and finding the next one behind damage.
#pragma once

#include <optional>

#include "image/record.h"
#include "io/file.h"

namespace snap {

/// A source read mostly forwards, in large pieces.
class Scanner {
 public:
  Scanner(RandomSource& source, std::uint64_t size) : source_(source), size_(size) {}

  std::uint64_t size() const { return size_; }
  /// Bytes at `offset`: fewer than `count` only at the end of the file. They stay until the next call.
  Result<std::span<const std::byte>> bytes(std::uint64_t offset, std::size_t count);
  /// The record whose head is whole and fits its place; an error that says why there is none.
  Result<Record> head(std::uint64_t offset);
  /// The first offset >= `from` at which a whole record head stands; nothing where none does.
  Result<std::optional<Record>> next_head(std::uint64_t from);

 private:
  static constexpr std::size_t kReadAhead = 1u << 20;
  RandomSource& source_;
  std::uint64_t size_;
  Bytes buffer_;
  std::uint64_t start_ = 0;
};

}  // namespace snap

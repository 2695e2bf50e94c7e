// SPDX-License-Identifier: Apache-2.0
// Records that follow each other in a file, read together.
#pragma once

#include <algorithm>
#include <span>

#include "base/fail.h"
#include "image/record.h"
#include "io/file.h"

namespace snap {

class RecordWindow {
 public:
  /// The record's bytes, not checked yet; until the next call.
  Result<std::span<const std::byte>> bytes_of(RandomSource& source, const RecordRef& ref) {
    if (ref.record_bytes > sizeof(wire::RecordHead) + format::kMaxBodyBytes) return corrupt(ref.offset, "a record is over its limit");
    if (ref.offset < start_ || ref.offset + ref.record_bytes > start_ + filled_) {
      filled_ = 0;
      buffer_.resize(std::max<std::size_t>(kSpanBytes, ref.record_bytes));
      SNAP_TRY_ASSIGN(got, source.read_at(ref.offset, buffer_));
      start_ = ref.offset;
      filled_ = got;
      if (got < ref.record_bytes) return truncated(ref.offset + got, "the file became shorter");
    }
    return std::span<const std::byte>(buffer_).subspan(static_cast<std::size_t>(ref.offset - start_), ref.record_bytes);
  }

 private:
  static constexpr std::size_t kSpanBytes = 1u << 20;
  Bytes buffer_;
  std::uint64_t start_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace snap

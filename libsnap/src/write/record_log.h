// SPDX-License-Identifier: Apache-2.0
// The file as it grows: the header, then records that each name the one before.
#pragma once

#include <atomic>
#include <cstdint>

#include "image/header.h"
#include "image/record.h"
#include "snap/io.h"

namespace snap {

/// One thread at a time, except written_bytes().
class RecordLog {
 public:
  RecordLog(ByteSink& sink, Header& header) : sink_(sink), header_(header) {}

  /// The header, unless it is written; header.check is known from then on.
  Result<void> begin();
  Result<RecordRef> write(wire::RecordType type, std::uint16_t region, std::uint32_t aux, std::uint64_t number, const Bytes& body);
  /// Makes the head of the record that comes next, at `offset`, into `head`. Its bytes follow by put(), alone or with others.
  void seal(Record& record, std::uint64_t offset, std::byte* head);
  Result<void> put(std::span<const std::byte> bytes);

  std::uint64_t offset() const { return offset_; }
  std::uint64_t records() const { return records_; }
  std::uint64_t written_bytes() const { return written_; }

 private:
  ByteSink& sink_;
  Header& header_;
  std::uint64_t offset_ = 0;
  std::uint64_t prior_ = 0;
  std::uint64_t records_ = 0;
  std::atomic<std::uint64_t> written_{0};
};

}  // namespace snap

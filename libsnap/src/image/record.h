// SPDX-License-Identifier: Apache-2.0
// Record heads, SPEC 5.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "format/wire.h"
#include "snap/result.h"

namespace snap {

/// A record's head as checked values, and where it stands.
struct Record {
  std::uint64_t offset = 0;
  std::uint8_t type = 0;
  std::uint8_t codec = 0;
  std::uint16_t region = 0;
  std::uint32_t body_bytes = 0;
  std::uint32_t aux = 0;
  std::uint64_t number = 0;
  std::uint64_t body_check = 0;
  std::uint64_t prior = 0;
  std::uint64_t head_check = 0;

  std::uint32_t record_bytes() const { return static_cast<std::uint32_t>(sizeof(wire::RecordHead)) + body_bytes; }
  std::uint64_t body_offset() const { return offset + sizeof(wire::RecordHead); }
  bool ancillary() const { return type >= wire::kFirstAncillary; }
};

/// The head of a record around `body`; where it stands, and what comes before it, are still to be set.
Record record_around(wire::RecordType type, std::uint16_t region, std::uint32_t aux, std::uint64_t number, std::span<const std::byte> body);

/// Checks the head itself: its check, a legal type and body length, fields that are zero where their type has no use for them.
Result<Record> parse_head(std::span<const std::byte> bytes, std::uint64_t offset);
Result<void> verify_body(const Record& record, std::span<const std::byte> body);

/// Sets head_check; `out` takes sizeof(wire::RecordHead) bytes. body_check, prior and offset are set already.
void encode_head(Record& record, std::byte* out);

/// A pointer to a record as nodes, CLOSE and the catalog hold it.
struct RecordRef {
  std::uint64_t offset = 0;
  std::uint32_t record_bytes = 0;
  std::uint64_t head_check = 0;
  friend bool operator==(const RecordRef&, const RecordRef&) = default;
};
inline RecordRef ref_to(const Record& record) { return {record.offset, record.record_bytes(), record.head_check}; }

/// Head and body of the record that a pointer names, as one span. Refuses another one.
Result<Record> parse_referenced(const RecordRef& ref, std::span<const std::byte> bytes, std::uint8_t type, std::size_t region,
                                std::uint64_t number);

}  // namespace snap

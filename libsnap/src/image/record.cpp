// SPDX-License-Identifier: Apache-2.0
#include "image/record.h"

#include "base/fail.h"
#include "codec/checksum.h"
#include "format/limits.h"

namespace snap {

namespace {

constexpr std::size_t kChecked = offsetof(wire::RecordHead, head_check);

bool known_type(std::uint8_t type) {
  return (type >= wire::kRegion && type <= wire::kParent) || type >= wire::kFirstAncillary;
}

// Which of codec, region, aux, number a type uses; the others are zero.
bool unused_fields_are_zero(const Record& record) {
  const bool block = record.type == wire::kBlock;
  const bool node = record.type == wire::kNode;
  const bool of_region = block || node || record.type == wire::kRegion || record.type == wire::kClose;
  return (block || record.codec == 0) && (of_region || record.region == 0) && (block || node || record.aux == 0) &&
         (block || node || record.type == wire::kClose || record.number == 0);
}

}  // namespace

Record record_around(wire::RecordType type, std::uint16_t region, std::uint32_t aux, std::uint64_t number, std::span<const std::byte> body) {
  Record record;
  record.type = type;
  record.region = region;
  record.aux = aux;
  record.number = number;
  record.body_bytes = static_cast<std::uint32_t>(body.size());
  record.body_check = check64(body);
  return record;
}

Result<Record> parse_head(std::span<const std::byte> bytes, std::uint64_t offset) {
  if (bytes.size() < sizeof(wire::RecordHead)) return truncated(offset + bytes.size(), "the file ends inside a record head");
  wire::RecordHead from;
  std::memcpy(&from, bytes.data(), sizeof from);
  if (std::memcmp(from.magic, wire::kRecordMagic, sizeof from.magic) != 0) return corrupt(offset, "no record begins here");
  if (from.head_check != check64(bytes.first(kChecked), offset)) return corrupt(offset, "a record head's check does not fit");
  Record record{offset,    from.type,   from.codec,      from.region, from.body_bytes,
                from.aux,  from.number, from.body_check, from.prior,  from.head_check};
  if (!known_type(record.type)) return corrupt(offset, "a record type that is not legal", record.type);
  if (record.body_bytes > (record.type == wire::kCatalog ? format::kMaxCatalogBody : format::kMaxBodyBytes)) {
    return corrupt(offset, "a record body is over its limit", record.body_bytes);
  }
  if (!unused_fields_are_zero(record)) return corrupt(offset, "a record head's unused field is not zero");
  return record;
}

Result<void> verify_body(const Record& record, std::span<const std::byte> body) {
  if (body.size() != record.body_bytes) return truncated(record.body_offset() + body.size(), "the file ends inside a record");
  if (check64(body) != record.body_check) {
    const char* what = record.type == wire::kBlock        ? "a block's check does not fit"
                       : record.type == wire::kWorkingSet ? "the working set's check does not fit"
                                                          : "a record's check does not fit";
    return corrupt(record.offset, what, record.number);
  }
  return {};
}

void encode_head(Record& record, std::byte* out) {
  wire::RecordHead to{};
  std::memcpy(to.magic, wire::kRecordMagic, sizeof to.magic);
  to.type = record.type;
  to.codec = record.codec;
  to.region = record.region;
  to.body_bytes = record.body_bytes;
  to.aux = record.aux;
  to.number = record.number;
  to.body_check = record.body_check;
  to.prior = record.prior;
  record.head_check = check64(bytes_of(to).first(kChecked), record.offset);
  to.head_check = record.head_check;
  std::memcpy(out, &to, sizeof to);
}

Result<Record> parse_referenced(const RecordRef& ref, std::span<const std::byte> bytes, std::uint8_t type, std::size_t region,
                                std::uint64_t number) {
  SNAP_TRY_ASSIGN(record, parse_head(bytes, ref.offset));
  if (record.head_check != ref.head_check || record.record_bytes() != ref.record_bytes) {
    return corrupt(ref.offset, "not the record that the index names");
  }
  if (record.type != type || record.region != region || record.number != number) {
    return corrupt(ref.offset, "the index names a record of another kind or place");
  }
  SNAP_TRY(verify_body(record, bytes.subspan(sizeof(wire::RecordHead))));
  return record;
}

}  // namespace snap

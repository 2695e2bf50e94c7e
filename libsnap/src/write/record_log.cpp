// SPDX-License-Identifier: Apache-2.0
#include "write/record_log.h"

#include "base/fail.h"

namespace snap {

Result<void> RecordLog::begin() {
  if (offset_ != 0) return {};
  SNAP_TRY(put(encode_header(header_)));
  prior_ = header_.check;
  return {};
}

Result<void> RecordLog::put(std::span<const std::byte> bytes) {
  SNAP_TRY(sink_.write(bytes));
  offset_ += bytes.size();
  written_ = offset_;
  return {};
}

void RecordLog::seal(Record& record, std::uint64_t offset, std::byte* head) {
  record.offset = offset;
  record.prior = prior_;
  encode_head(record, head);
  prior_ = record.head_check;
  ++records_;
}

Result<RecordRef> RecordLog::write(wire::RecordType type, std::uint16_t region, std::uint32_t aux, std::uint64_t number, const Bytes& body) {
  Record record = record_around(type, region, aux, number, body);
  Bytes bytes(sizeof(wire::RecordHead));
  seal(record, offset_, bytes.data());
  append(bytes, body);
  SNAP_TRY(put(bytes));
  return ref_to(record);
}

}  // namespace snap

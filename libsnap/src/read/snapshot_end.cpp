// SPDX-License-Identifier: Apache-2.0
#include "read/snapshot_end.h"

#include <algorithm>

#include "base/fail.h"
#include "format/limits.h"

namespace snap {

namespace {

constexpr std::size_t kHeadBytes = sizeof(wire::RecordHead);
constexpr std::uint64_t kSealBytes = kHeadBytes + sizeof(wire::SealBody);

/// The head with this check, of a record that ends where `bytes` end, which is at `end` in the file.
std::optional<Record> last_record(std::span<const std::byte> bytes, std::uint64_t end, std::uint64_t head_check) {
  const std::string_view text = text_of(bytes), magic(reinterpret_cast<const char*>(wire::kRecordMagic), sizeof wire::kRecordMagic);
  std::size_t at = text.size();
  while (at != 0 && (at = text.rfind(magic, at - 1)) != text.npos) {
    const auto record = parse_head(bytes.subspan(at), end - (bytes.size() - at));
    if (record && record->head_check == head_check && record->record_bytes() == bytes.size() - at) return *record;
  }
  return std::nullopt;
}

}  // namespace

Result<SealPlace> read_seal(const Image& image, std::size_t bytes_before) {
  const std::uint64_t catalog = image.trailer().catalog.offset;
  const std::uint64_t records = catalog - image.header().header_bytes;
  if (records < kSealBytes) return corrupt(catalog, "a catalog without a seal before it");
  SealPlace place;
  place.before.resize(static_cast<std::size_t>(std::min<std::uint64_t>(records, kSealBytes + bytes_before)));
  SNAP_TRY(read_exact(image.source(), catalog - place.before.size(), place.before, "the file became shorter"));
  const auto seal = std::span<const std::byte>(place.before).last(kSealBytes);
  SNAP_TRY_ASSIGN(record, parse_head(seal, catalog - kSealBytes));
  if (record.type != wire::kSeal || record.record_bytes() != kSealBytes) return corrupt(record.offset, "a catalog without a seal before it");
  place.record = record;
  place.body.assign(seal.begin() + kHeadBytes, seal.end());
  SNAP_TRY(verify_body(record, place.body));
  place.before.resize(place.before.size() - kSealBytes);
  return place;
}

Result<std::optional<Record>> find_before_seal(const Image& image, const Record& seal) {
  const std::uint64_t records = seal.offset - image.header().header_bytes;
  if (records == 0 && seal.prior == image.header().check) return std::optional<Record>();
  // Nearly always it is a CLOSE or a small working set. More is read only as far as a record can be large.
  const std::uint64_t most = std::min<std::uint64_t>(records, kHeadBytes + format::kMaxBodyBytes);
  Bytes bytes;
  for (std::uint64_t window = 4096; bytes.size() < most; window *= 16) {
    bytes.resize(static_cast<std::size_t>(std::min(window, most)));
    SNAP_TRY(read_exact(image.source(), seal.offset - bytes.size(), bytes, "the file became shorter"));
    if (const auto found = last_record(bytes, seal.offset, seal.prior)) return std::optional(*found);
  }
  return corrupt(seal.offset, "the record before the seal is damaged");
}

}  // namespace snap

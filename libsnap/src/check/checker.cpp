// SPDX-License-Identifier: Apache-2.0
#include "check/checker.h"

#include <algorithm>

#include "base/fail.h"
#include "codec/checksum.h"

namespace snap {

Result<CheckReport> Checker::run() {
  report_.file_bytes = scanner_.size();
  if (auto header = read_header(); !header) {
    const Error& error = header.error();
    if (ends_check(error) || error.code == Code::kUnsupported || scanner_.size() < sizeof wire::kHeaderMagic) return error;
    if (error.code == Code::kCorrupt && error.file_offset == 0 && header_.header_bytes == 0) return error;  // no magic
    damage(error.code == Code::kTruncated ? DamageKind::kTrailer : DamageKind::kHeader, error, true);
    return std::move(report_);
  }
  SNAP_TRY(read_known_catalog());
  SNAP_TRY(walk());
  if (sealed_) {
    SNAP_TRY(finish());
  } else if (repaired_ == nullptr && known_) {
    // Regions of which not even the beginning was found.
    SNAP_TRY(resume_at(Record{.type = wire::kSeal}));
  }
  report_.complete = sealed_;
  report_.repairable = report_.damage_count != 0 && !lasting_damage_ && sealed_;
  for (const CatalogRegion& region : catalog_.regions) report_.regions.push_back(region.info);
  report_.digest = catalog_.digest;
  for (const auto& [from, end] : lost_) {
    report_.lost.push_back({catalog_.regions[from.first].info.name, from.second, end - from.second});
    report_.lost_bytes += end - from.second;
  }
  return std::move(report_);
}

Result<void> Checker::read_header() {
  header_.header_bytes = 0;
  SNAP_TRY_ASSIGN(start, scanner_.bytes(0, kHeaderStart));
  if (start.size() >= sizeof wire::kHeaderMagic && std::memcmp(start.data(), wire::kHeaderMagic, sizeof wire::kHeaderMagic) == 0) {
    header_.header_bytes = kHeaderStart;  // ours, whatever else is wrong with it
  }
  SNAP_TRY_ASSIGN(length, header_length(start));
  SNAP_TRY_ASSIGN(bytes, scanner_.bytes(0, length));
  SNAP_TRY_ASSIGN(header, parse_header(bytes));
  header_ = std::move(header);
  window_ = CopyWindow(header_.copy_window);
  prior_ = header_.check;
  offset_ = length;
  return emit(bytes);
}

// The file's own catalog helps to name what is lost; nothing depends on it.
Result<void> Checker::read_known_catalog() {
  if (scanner_.size() < offset_ + kTrailerBytes) return {};
  SNAP_TRY_ASSIGN(end, scanner_.bytes(scanner_.size() - kTrailerBytes, kTrailerBytes));
  const auto trailer = parse_trailer(end, scanner_.size());
  if (!trailer || trailer->header_check != header_.check) return {};
  if (trailer->catalog.record_bytes > sizeof(wire::RecordHead) + format::kMaxCatalogBody) return {};
  SNAP_TRY_ASSIGN(bytes, scanner_.bytes(trailer->catalog.offset, trailer->catalog.record_bytes));
  if (!parse_referenced(trailer->catalog, bytes, wire::kCatalog, 0, 0)) return {};
  if (auto catalog = parse_catalog(bytes.subspan(sizeof(wire::RecordHead)), trailer->catalog.offset, header_)) known_ = std::move(*catalog);
  return {};
}

Result<void> Checker::walk() {
  while (!sealed_ && offset_ < scanner_.size()) {
    if (options_.progress != nullptr) *options_.progress = offset_;
    if (options_.cancel != nullptr && *options_.cancel) return fail(Code::kCancelled, "cancelled");
    const auto record = scanner_.head(offset_);
    if (record) {
      SNAP_TRY(take(*record));
    } else if (ends_check(record.error())) {
      return record.error();
    } else {
      SNAP_TRY(flush_blocks());
      SNAP_TRY(take_gap(record.error()));
    }
  }
  SNAP_TRY(flush_blocks());
  if (!sealed_) {
    damage(DamageKind::kTrailer, truncated(scanner_.size(), "the file ends before its end: it is incomplete"), true);
    if (open_) open_->uncertain.emplace_back(open_->next_block, ~std::uint64_t{0});
  }
  return {};
}

Result<void> Checker::take(const Record& record) {
  const bool follows = record.prior == prior_;
  if (!follows) {
    SNAP_TRY(flush_blocks());
    if (chain_known_) damage(DamageKind::kGap, corrupt(record.offset, "a record that does not follow the one before it"), true);
    place_known_ = false;
  }
  if (!place_known_ && (record.type <= wire::kClose || record.type == wire::kSeal || record.type == wire::kCatalog)) {
    SNAP_TRY(resume_at(record));
    place_known_ = true;
  }
  chain_known_ = true;
  prior_ = record.head_check;
  ++records_;
  const bool behind_ancillary = std::exchange(after_ancillary_, record.ancillary());
  const bool behind_working_set = std::exchange(after_working_set_, record.type == wire::kWorkingSet);
  if (behind_working_set && follows && record.type != wire::kSeal) {
    damage(DamageKind::kRecord, corrupt(record.offset, "a record between the working set and the seal", record.type), true);
  }
  if (records_ == 1 && header_.has_parent() && record.type != wire::kParent) {
    damage(DamageKind::kRecord, corrupt(record.offset, "a file with a parent that does not begin by naming it", record.type), true);
  }
  if (record.type == wire::kBlock) return queue_block(record);
  SNAP_TRY(flush_blocks());
  if (record.type == wire::kNode && behind_ancillary) {
    damage(DamageKind::kRecord, corrupt(record.offset, "an index node behind an ancillary record", record.number), true);
  }
  switch (record.type) {
    case wire::kRegion: return open_region(record);
    case wire::kNode: return take_node(record);
    case wire::kClose: return close_region(&record);
    case wire::kMeta: return take_meta(record);
    case wire::kParent: return take_parent(record);
    case wire::kWorkingSet: return take_working_set(record);
    case wire::kSeal: return take_seal(&record);
    default: break;
  }
  Bytes body;
  bool sound = false;
  SNAP_TRY(body_of(record, body, sound));
  if (!record.ancillary()) damage(DamageKind::kRecord, corrupt(record.offset, "a record out of its order", record.type), true);
  if (!sound) lasting_damage_ = true;
  return emit_record(record, body);
}

// Reads a record's body and steps over it.
Result<void> Checker::body_of(const Record& record, Bytes& body, bool& sound) {
  SNAP_TRY_ASSIGN(bytes, scanner_.bytes(record.body_offset(), record.body_bytes));
  body.assign(bytes.begin(), bytes.end());
  const auto verified = verify_body(record, body);
  sound = verified.has_value();
  if (!sound) {
    const bool derivable = record.type == wire::kParent || record.type == wire::kNode || record.type == wire::kClose || record.type == wire::kSeal;
    const DamageKind kind = record.type == wire::kBlock ? DamageKind::kBlock : derivable ? DamageKind::kIndex : DamageKind::kRecord;
    damage(kind, verified.error(), false);
  }
  offset_ = record.offset + record.record_bytes();  // past the end of a file that was cut: nothing else is there
  return {};
}

// Everything after the seal follows from what stands before it.
Result<void> Checker::finish() {
  const Bytes body = encode_catalog(catalog_);
  const Record catalog = derive(wire::kCatalog, 0, 0, 0, body);
  ++records_;
  const Trailer trailer{catalog.offset + catalog.record_bytes() + kTrailerBytes, ref_to(catalog), header_.check, records_};
  const Bytes trailer_bytes = encode_trailer(trailer);
  SNAP_TRY(emit_record(catalog, body));
  SNAP_TRY(emit(trailer_bytes));
  if (options_.progress != nullptr) *options_.progress = scanner_.size();
  if (lasting_damage_) {
    // The derived end is not the true one; the file's own was checked when it was read.
    if (!known_) damage(DamageKind::kTrailer, corrupt(offset_, "the catalog or the trailer is damaged too"), true);
    return {};
  }
  Bytes expected(sizeof(wire::RecordHead));
  Record head = catalog;
  encode_head(head, expected.data());
  append(expected, body);
  SNAP_TRY_ASSIGN(found, scanner_.bytes(offset_, expected.size()));
  if (!std::equal(found.begin(), found.end(), expected.begin(), expected.end())) {
    const bool cut = found.size() < expected.size();
    damage(DamageKind::kIndex, cut ? truncated(scanner_.size(), "the file ends before its catalog's end: it is incomplete")
                                   : corrupt(offset_, "the catalog is damaged"), false);
  }
  const std::uint64_t at = offset_ + expected.size();
  SNAP_TRY_ASSIGN(end, scanner_.bytes(at, kTrailerBytes));
  if (!std::equal(end.begin(), end.end(), trailer_bytes.begin(), trailer_bytes.end())) {
    const bool cut = end.size() < kTrailerBytes;
    damage(DamageKind::kTrailer, cut ? truncated(scanner_.size(), "the file ends before its trailer's end: it is incomplete")
                                     : corrupt(at, "the trailer is damaged"), false);
  }
  if (scanner_.size() > at + kTrailerBytes) damage(DamageKind::kGap, corrupt(at + kTrailerBytes, "bytes after the end of the snapshot"), false);
  return {};
}

Result<void> Checker::emit(std::span<const std::byte> bytes) {
  return repaired_ != nullptr && !lasting_damage_ ? repaired_->write(bytes) : Result<void>();
}

Result<void> Checker::emit_record(const Record& record, std::span<const std::byte> body) {
  if (repaired_ == nullptr) return {};
  std::byte head[sizeof(wire::RecordHead)];
  Record copy = record;
  encode_head(copy, head);
  SNAP_TRY(emit(head));
  return emit(body);
}

Record Checker::derive(wire::RecordType type, std::uint16_t region, std::uint32_t aux, std::uint64_t number, std::span<const std::byte> body) const {
  Record record = record_around(type, region, aux, number, body);
  record.offset = offset_;
  record.prior = prior_;
  std::byte head[sizeof(wire::RecordHead)];
  encode_head(record, head);
  return record;
}

void Checker::damage(DamageKind kind, const Error& error, bool lasting) {
  ++report_.damage_count;
  if (report_.damages.size() < CheckReport::kMaxListed) report_.damages.push_back({kind, error});
  lasting_damage_ |= lasting;
}

void Checker::lose(std::uint64_t first_block, std::uint64_t block_count) {
  if (block_count != 0) lose_pages(first_block * header_.block_pages(), block_count * header_.block_pages());
}

void Checker::lose_pages(std::uint64_t first_page, std::uint64_t page_count) {
  lasting_damage_ = true;
  const std::uint64_t size = known_size();
  const std::uint64_t offset = std::min(first_page * kPageBytes, size);
  const std::uint64_t end = std::min(offset + page_count * kPageBytes, size);
  if (end == offset) return;
  // Ranges that touch become one.
  const std::size_t number = region_number();
  std::uint64_t first = offset;
  std::uint64_t last = end;
  auto at = lost_.upper_bound({number, offset});
  if (at != lost_.begin()) {
    const auto before = std::prev(at);
    if (before->first.first == number && before->second >= offset) at = before;
  }
  while (at != lost_.end() && at->first.first == number && at->first.second <= last) {
    first = std::min(first, at->first.second);
    last = std::max(last, at->second);
    at = lost_.erase(at);
  }
  lost_.emplace_hint(at, std::pair(number, first), last);
}

// Whether the block, though not seen, was there: it is among what is lost, or may be.
bool Checker::is_lost(PageRef block) const {
  if (open_ && block.region == region_number()) {
    for (const auto& [first, end] : open_->uncertain) {
      if (block.page >= first && block.page < end) return true;
    }
  }
  const std::uint64_t offset = block.page << header_.block_log2;
  const auto after = lost_.upper_bound({block.region, offset});
  if (after == lost_.begin()) return false;
  const auto at = std::prev(after);
  return at->first.first == block.region && offset < at->second;
}

std::uint64_t Checker::known_size() const {
  const CatalogRegion& current = catalog_.regions.back();
  if (current.info.size != kUnknownSize) return current.info.size;
  const std::size_t number = catalog_.regions.size() - 1;
  return known_ && number < known_->regions.size() ? known_->regions[number].info.size : kUnknownSize;
}

Result<CheckReport> check(RandomSource& source, const CheckOptions& options) {
  SNAP_TRY_ASSIGN(size, source.size());
  return Checker(source, size, options, nullptr).run();
}

Result<void> repair(RandomSource& source, ByteSink& sink, const CheckOptions& options) {
  SNAP_TRY_ASSIGN(size, source.size());
  SNAP_TRY_ASSIGN(report, Checker(source, size, options, &sink).run());
  if (report.clean() || report.repairable) return {};
  const Error& first = report.damages.front().error;
  if (first.code == Code::kTruncated) return truncated(report.file_bytes, "the file is incomplete: content is missing at its end");
  return corrupt(first.file_offset, "content is lost: what is damaged here cannot be made again", first.detail);
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// What the check does with regions, their ends, metadata and the seal.
#include <algorithm>

#include "base/fail.h"
#include "check/checker.h"
#include "codec/checksum.h"
#include "image/working_set.h"

namespace snap {

void Checker::start_region(const RegionInfo& info) {
  catalog_.regions.push_back({info, info.size, {}});
  open_.emplace();
  open_->last_pages = header_.block_pages();
  if (link_) link_->add_region(info, info.size);
  const auto settle = [this](unsigned level, std::uint64_t number, IndexNode& node) { return settle_node(level, number, node); };
  IndexBuilder::AbsentDigest absent;
  if (header_.has_parent()) absent = [this](unsigned height, std::uint64_t number) { return absent_digest(height, number); };
  index_.emplace(header_.block_log2 - format::kPageLog2, settle, absent);
}

// What has no record is as in the parent: unknown where that cannot be asked, or where the region's end, which cuts it, is not known.
Result<Digest> Checker::absent_digest(unsigned height, std::uint64_t number) {
  const std::uint64_t size = known_size();
  if (!link_ || size == kUnknownSize) {
    report_.content_compared = false;
    return Digest{};
  }
  link_->set_size(region_number(), size);
  const auto digest = link_->range_digest(region_number(), height, number);
  if (digest) return digest;
  report_.content_compared = false;
  if (ends_check(digest.error()) || digest.error().code == Code::kLimit) return digest.error();
  // A region's end may be derived twice.
  const Error& error = digest.error();
  const bool told = std::any_of(report_.damages.begin(), report_.damages.end(), [&](const Damage& each) {
    return each.kind == DamageKind::kParent && each.error.ancestor == error.ancestor && each.error.file_offset == error.file_offset;
  });
  if (!told) damage(DamageKind::kParent, error, false);
  return Digest{};
}

// It stands first. Its body is in the catalog too.
Result<void> Checker::take_parent(const Record& record) {
  Bytes body;
  bool sound = false;
  SNAP_TRY(body_of(record, body, sound));
  if (!header_.has_parent() || records_ != 1) {
    damage(DamageKind::kRecord, corrupt(record.offset, "a record out of its order", record.type), true);
    return emit_record(record, body);
  }
  if (!sound && known_ && known_->parent) {
    const Bytes derived = encode_parent(*known_->parent);
    if (is_body_of(record, derived)) body = derived;
  }
  if (!is_body_of(record, body)) {
    lasting_damage_ = true;
    return emit_record(record, body);
  }
  auto parent = parse_parent(body, record.offset);
  if (!parent) {
    damage(DamageKind::kRecord, parent.error(), true);
    return emit_record(record, body);
  }
  catalog_.parent = *parent;
  report_.parent = *parent;
  if (options_.parent != nullptr) {
    SNAP_TRY(ParentLink::verify(*options_.parent, *parent, header_.parent_depth));
    link_.emplace(*options_.parent);
  }
  return emit_record(record, body);
}

Result<void> Checker::open_region(const Record& record) {
  Bytes body;
  bool sound = false;
  SNAP_TRY(body_of(record, body, sound));
  lasting_damage_ |= !sound;
  const auto info = sound ? parse_region_body(body, record.offset) : Result<RegionInfo>(corrupt(record.offset, "a region's description is lost"));
  if (open_ || record.region != catalog_.regions.size() || record.region >= format::kMaxRegions) {
    damage(DamageKind::kRecord, corrupt(record.offset, "a region out of its order", record.region), true);
    return {};
  }
  if (info && !names_.emplace(info->kind, info->name).second) damage(DamageKind::kRecord, corrupt(record.offset, "two regions of one name"), true);
  if (info) {
    start_region(*info);
  } else {
    if (sound) damage(DamageKind::kRecord, info.error(), true);
    const bool known = known_ && record.region < known_->regions.size();
    start_region(known ? known_->regions[record.region].info : RegionInfo{RegionKind::kMemory, "?", kUnknownSize, 12, {}});
    if (known) region().announced_size = known_->regions[record.region].announced_size;
  }
  return emit_record(record, body);
}

Result<RegionClose> Checker::derive_close(std::uint64_t size) {
  const std::uint64_t blocks = block_count(size, header_.block_log2);
  SNAP_TRY_ASSIGN(root, index_->finish(blocks));
  RegionClose close;
  close.block_records = open_->block_records;
  Digest tree = zero_digest(format::kDigestTreeHeight);
  if (root) {
    close.root = root->record;
    if (root->digest == Digest{}) return close;
    tree = region_tree_digest(root->digest, index_->root_height(blocks));
  } else if (header_.has_parent()) {
    SNAP_TRY_ASSIGN(absent, absent_digest(format::kDigestTreeHeight, 0));
    if (absent == Digest{}) return close;
    tree = absent;
  }
  RegionInfo info = region().info;
  info.size = size;
  close.digest = region_digest(info, tree);
  return close;
}

Result<void> Checker::close_region(const Record* record) {
  const bool derived = record->offset == offset_ && record->type == wire::kClose && scanner_.head(offset_).has_value() == false;
  Bytes body;
  bool sound = false;
  if (!derived) SNAP_TRY(body_of(*record, body, sound));
  if (!open_ || record->region != region_number()) {
    damage(DamageKind::kRecord, corrupt(record->offset, "the end of a region that is not open", record->region), true);
    return {};
  }
  const std::uint64_t size = record->number;
  CatalogRegion& closing = region();
  if (closing.announced_size != kUnknownSize && closing.announced_size != size) {
    damage(DamageKind::kRecord, corrupt(record->offset, "a region's size is not the one announced", size), true);
  }
  closing.info.size = size;
  if (link_) link_->set_size(region_number(), size);
  if (const char* fault = closed_region_fault(closing.info)) {
    damage(DamageKind::kRecord, corrupt(record->offset, fault), true);
    closing.info.size = 0;  // nothing is derived from it
    open_.reset();
    return {};
  }
  const auto found = sound ? parse_close(body, record->offset) : Result<RegionClose>(Error{});
  const RegionClose* const recorded = found ? &*found : known_ && region_number() < known_->regions.size() ? &known_->regions[region_number()].close : nullptr;
  if (recorded != nullptr && recorded->block_records == open_->block_records) open_->uncertain.clear();  // all its blocks were seen
  SNAP_TRY_ASSIGN(close, derive_close(size));
  const std::uint64_t pages = page_count(size);
  const std::uint64_t past_last = open_->next_block == 0 ? 0 : (open_->next_block - 1) * header_.block_pages() + open_->last_pages;
  if (past_last > pages || (open_->last_pages != header_.block_pages() && past_last != pages)) {
    damage(DamageKind::kRecord, corrupt(record->offset, "a region's size does not fit its blocks", size), true);
  } else {
    SNAP_TRY(check_filling(record->offset));
  }
  const std::uint64_t blocks = block_count(size, header_.block_log2);
  for (const auto& [first, end] : open_->uncertain) lose(first, std::min(end, blocks) - std::min(first, blocks));
  const bool unsure = open_->unknown_digests || !open_->uncertain.empty() || close.digest == Digest{} || lasting_damage_;
  closing.close = close;
  open_.reset();

  if (sound) {
    if (!found) {
      damage(DamageKind::kRecord, found.error(), true);
    } else {
      if (!unsure && *found != close) damage(DamageKind::kContent, corrupt(record->offset, "a region's end does not fit its content"), true);
      closing.close = *found;
    }
    return emit_record(*record, body);
  }
  body = encode_close(close);
  if (derived) offset_ += record->record_bytes();
  if (!is_body_of(*record, body)) lasting_damage_ = true;
  return emit_record(*record, body);
}

Result<void> Checker::take_meta(const Record& record) {
  Bytes body;
  bool sound = false;
  SNAP_TRY(body_of(record, body, sound));
  const auto pairs = sound ? parse_metadata(body, record.offset) : Result<Metadata>(Error{});
  if (!sound) {
    lasting_damage_ = true;
  } else if (!pairs || pairs->empty()) {
    damage(DamageKind::kRecord, pairs ? corrupt(record.offset, "empty metadata") : pairs.error(), true);
  } else if (open_) {
    if (place_known_) damage(DamageKind::kRecord, corrupt(record.offset, "metadata inside a region"), true);
  } else {
    for (const auto& [key, value] : *pairs) catalog_.metadata.insert_or_assign(key, value);
    metadata_bytes_ += body.size();
    if (metadata_bytes_ > format::kMaxMetaBytes) damage(DamageKind::kRecord, corrupt(record.offset, "the metadata is over its limit"), true);
  }
  return emit_record(record, body);
}

Result<void> Checker::take_working_set(const Record& record) {
  Bytes body;
  bool sound = false;
  SNAP_TRY(body_of(record, body, sound));
  const Catalog* const regions = !lasting_damage_ ? &catalog_ : known_ ? &*known_ : nullptr;  // what it may name
  if (!sound) {
    lasting_damage_ = true;
  } else if (open_) {
    if (place_known_) damage(DamageKind::kRecord, corrupt(record.offset, "a working set inside a region"), true);
  } else if (regions != nullptr) {
    if (const auto ranges = parse_working_set(body, record.offset, regions->regions); !ranges) damage(DamageKind::kRecord, ranges.error(), true);
  }
  return emit_record(record, body);
}

Result<void> Checker::take_seal(const Record* record) {
  const bool derived = record->offset == offset_ && scanner_.head(offset_).has_value() == false;
  Bytes body;
  bool sound = false;
  if (!derived) SNAP_TRY(body_of(*record, body, sound));
  if (open_) {
    damage(DamageKind::kRecord, corrupt(record->offset, "the seal inside a region"), true);
    open_.reset();
  }
  catalog_.digest = snapshot_digest(catalog_.regions);
  const Bytes expected = encode_seal(static_cast<std::uint32_t>(catalog_.regions.size()), catalog_.digest);
  if (sound && body != expected && !lasting_damage_) {
    damage(DamageKind::kContent, corrupt(record->offset, "the seal does not fit the regions"), true);
  }
  if (!sound) {
    if (derived) offset_ += record->record_bytes();
    if (!is_body_of(*record, expected)) lasting_damage_ = true;
    body = expected;
  }
  sealed_ = true;
  return emit_record(*record, body);
}

}  // namespace snap

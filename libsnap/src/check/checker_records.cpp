// SPDX-License-Identifier: Apache-2.0
// What the check does with each kind of record.
#include <algorithm>

#include "base/fail.h"
#include "check/checker.h"
#include "codec/checksum.h"

namespace snap {

namespace {
constexpr std::size_t kBatchBlocks = 128;
constexpr std::size_t kBatchBytes = 16u << 20;

// Whether what was derived is what the record, whose own body is damaged, once held.
bool is_body_of(const Record& record, std::span<const std::byte> derived) {
  return derived.size() == record.body_bytes && check64(derived) == record.body_check;
}

}  // namespace

void Checker::start_region(const RegionInfo& info) {
  catalog_.regions.push_back({info, info.size, {}});
  open_.emplace();
  open_->last_pages = header_.block_pages();
  index_.emplace(header_.block_log2 - format::kPageLog2,
                 [this](unsigned level, std::uint64_t number, IndexNode& node) { return settle_node(level, number, node); });
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

Result<void> Checker::queue_block(const Record& record) {
  CheckedBlock block;
  block.record = record;
  bool sound = false;
  SNAP_TRY(body_of(record, block.body, sound));
  if (!sound) block.error = corrupt(record.offset, "a block's check does not fit", record.number);
  batch_bytes_ += block.body.size();
  batch_.push_back(std::move(block));
  if (batch_.size() == kBatchBlocks || batch_bytes_ >= kBatchBytes) return flush_blocks();
  return {};
}

Result<void> Checker::flush_blocks() {
  if (batch_.empty()) return {};
  // A body that failed its check was reported when it was read.
  std::vector<bool> reported(batch_.size());
  for (std::size_t i = 0; i < batch_.size(); ++i) reported[i] = batch_[i].error.code != Code::kOk;
  decode_blocks(batch_, header_, options_.threads);
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    if (batch_[i].error.code == Code::kNoMemory) return batch_[i].error;
    if (batch_[i].error.code != Code::kOk && !reported[i]) damage(DamageKind::kBlock, batch_[i].error, true);
    SNAP_TRY(account(batch_[i]));
  }
  batch_.clear();
  batch_bytes_ = 0;
  return {};
}

Result<void> Checker::account(CheckedBlock& block) {
  const Record& record = block.record;
  ++report_.blocks_checked;
  if (!open_ || record.region != region_number()) {
    damage(DamageKind::kRecord, corrupt(record.offset, "a block outside its region", record.number), true);
    return {};
  }
  if (record.number < std::max(open_->next_block, open_->covered) || open_->last_pages != header_.block_pages()) {
    damage(DamageKind::kRecord, corrupt(record.offset, "a block out of its order", record.number), true);
    return {};
  }
  const std::uint64_t size = known_size();
  const std::uint64_t pages = size == kUnknownSize ? format::kMaxPageNumber + 1 : page_count(size);
  const std::uint64_t first_page = record.number << (header_.block_log2 - format::kPageLog2);
  const bool fits = record.number <= format::kMaxPageNumber >> (header_.block_log2 - format::kPageLog2) && first_page < pages &&
                    record.aux <= pages - first_page && record.aux <= header_.block_pages() &&
                    (size == kUnknownSize || record.aux == std::min<std::uint64_t>(header_.block_pages(), pages - first_page));
  if (!fits) {
    damage(DamageKind::kRecord, corrupt(record.offset, "a block that its region does not have", record.number), true);
    return {};
  }
  while (record.number >= index_->due_before()) SNAP_TRY(index_->flush_due());
  bool incomplete = false;  // some of its pages are copies of lost ones
  if (block.error.code == Code::kOk) block.error = resolve_copies(block, incomplete);
  const bool lost = block.error.code != Code::kOk;
  if (lost) lose(record.number, 1);
  Digest digest;
  if (!lost && !incomplete) {
    std::vector<Digest> nodes = block.digests;
    digest = tree_digest(nodes);
    if (digest == zero_digest(header_.block_log2 - format::kPageLog2)) {
      damage(DamageKind::kBlock, corrupt(record.offset, "a record of a block that is all zero", record.number), true);
    }
  }
  index_->add(record.number, {ref_to(record), digest});
  ++open_->block_records;
  open_->next_block = record.number + 1;
  open_->last_pages = record.aux;
  open_->last_page = std::move(block.last_page);
  if (!lost && block.kinds.back() == wire::kCopy) open_->last_source = block.sources.back();
  open_->last = CopyWindow::Seen{{record.region, record.number}, ref_to(record), lost, block.kinds, {}};
  window_.push({{record.region, record.number}, ref_to(record), lost, std::move(block.kinds), std::move(block.digests)});
  return emit_record(record, block.body);
}

Error Checker::resolve_copies(CheckedBlock& block, bool& incomplete) {
  const std::uint64_t first_page = block.record.number * header_.block_pages();
  std::size_t next = 0;
  for (std::uint32_t page = 0; page < block.kinds.size(); ++page) {
    if (block.kinds[page] != wire::kCopy) continue;
    const PageRef source = block.sources[next++];
    const std::uint32_t in_block = static_cast<std::uint32_t>(source.page % header_.block_pages());
    const PageRef source_block{source.region, source.page / header_.block_pages()};
    if (source_block == PageRef{block.record.region, block.record.number}) {
      block.digests[page] = block.digests[in_block];
      continue;
    }
    const CopyWindow::Seen* seen = window_.find(source_block);
    if (seen != nullptr ? seen->lost : is_lost(source_block)) {
      lose_pages(first_page + page, 1);
      incomplete = true;
    } else if (seen == nullptr || in_block >= seen->kinds.size() || seen->kinds[in_block] != wire::kRaw) {
      const Error error = corrupt(block.record.offset, "a copy of a page that is not raw, not there or outside the copy window", page);
      damage(DamageKind::kBlock, error, true);
      return error;
    } else {
      block.digests[page] = seen->digests[in_block];
    }
  }
  return {};
}

// The lowest node that is not written yet; none above the root of the region, or of the largest region there is.
std::optional<IndexBuilder::Due> Checker::due_node() const {
  if (!open_) return std::nullopt;
  const auto due = index_->due();
  const std::uint64_t size = std::min(known_size(), format::kMaxRegionBytes);
  return due && due->level <= root_level(block_count(size, header_.block_log2)) ? due : std::nullopt;
}

Result<void> Checker::flush_node(const IndexBuilder::Due& due, const Record& record, bool derived) {
  open_->covered = std::max(open_->covered, (due.number + 1) << (format::kNodeLog2 * (due.level + 1)));
  node_record_ = &record;
  node_derived_ = derived;
  auto flushed = index_->flush_due();
  node_record_ = nullptr;
  node_derived_ = false;
  return flushed;
}

Result<void> Checker::take_node(const Record& record) {
  const bool ours = open_ && record.region == region_number();
  const bool after_gap = ours && !open_->uncertain.empty();
  if (after_gap && record.aux == 0) SNAP_TRY(add_lost_blocks(record));
  const auto due = ours ? due_node() : std::nullopt;
  if (due && due->level == record.aux && due->number == record.number) return flush_node(*due, record, false);
  Bytes body;
  bool sound = false;
  SNAP_TRY(body_of(record, body, sound));
  if (after_gap && sound) {
    open_->unknown_digests = true;  // the nodes below it were lost
  } else {
    damage(DamageKind::kIndex, corrupt(record.offset, "an index node out of its order", record.number), true);
  }
  return emit_record(record, body);
}

// All blocks of the leaf that `record` is were lost: the leaf itself tells which there were.
Result<void> Checker::add_lost_blocks(const Record& record) {
  const auto due = due_node();
  if (due && due->level == 0) return {};
  SNAP_TRY_ASSIGN(body, scanner_.bytes(record.body_offset(), record.body_bytes));
  if (!verify_body(record, body)) return {};
  const auto found = parse_node(record, body);
  const std::uint64_t first = record.number << format::kNodeLog2;
  if (!found || first < open_->next_block || first >= block_count(std::min(known_size(), format::kMaxRegionBytes), header_.block_log2)) return {};
  for (unsigned child = 0; child < format::kNodeChildren; ++child) {
    const IndexEntry* entry = found->find(child);
    if (entry == nullptr) continue;
    lose(first + child, 1);
    index_->add(first + child, *entry);
  }
  return {};
}

// Called for each node that is complete, with the record that should hold it, if there is one.
Result<RecordRef> Checker::settle_node(unsigned level, std::uint64_t number, IndexNode& node) {
  if (node_record_ == nullptr) {
    damage(DamageKind::kIndex, corrupt(offset_, "an index node is missing", number), true);
    return RecordRef{offset_, sizeof(wire::RecordHead), 0};
  }
  const Record& record = *node_record_;
  if (node_derived_) {
    const Bytes body = node.encode();
    offset_ += record.record_bytes();
    SNAP_TRY(emit_record(record, body));
    return ref_to(record);
  }
  Bytes body;
  bool sound = false;
  SNAP_TRY(body_of(record, body, sound));
  const auto found = sound ? parse_node(record, body) : Result<IndexNode>(Error{});
  if (found) {
    merge(level, number, node, *found);
  } else {
    if (sound) damage(DamageKind::kIndex, found.error(), true);
    body = node.encode();
    if (!is_body_of(record, body)) {
      lasting_damage_ = true;
      open_->unknown_digests = true;
    }
  }
  SNAP_TRY(emit_record(record, body));
  return ref_to(record);
}

// What the node found says beside what was seen: lost blocks get their digest from it, and blocks never seen show that they existed.
void Checker::merge(unsigned level, std::uint64_t number, IndexNode& node, const IndexNode& found) {
  IndexNode merged;
  const std::uint64_t first_child = number << format::kNodeLog2;
  for (unsigned child = 0; child < format::kNodeChildren; ++child) {
    const IndexEntry* seen = node.find(child);
    const IndexEntry* recorded = found.find(child);
    if (recorded != nullptr) merged.set(child, *recorded);
    if (recorded != nullptr && seen == nullptr) {
      if (level == 0) lose(first_child + child, 1);
      lasting_damage_ = true;
    } else if (seen != nullptr && recorded == nullptr) {
      damage(DamageKind::kContent, corrupt(seen->record.offset, "a record that its index node leaves out", first_child + child), true);
    } else if (seen != nullptr && seen->record != recorded->record) {
      damage(DamageKind::kContent, corrupt(recorded->record.offset, "an index entry that names another record", first_child + child), true);
    } else if (seen != nullptr && seen->digest != Digest{} && seen->digest != recorded->digest) {
      damage(DamageKind::kContent, corrupt(seen->record.offset, "content that is not what the index's digest names", first_child + child), true);
      if (level == 0) lose(first_child + child, 1);
    }
  }
  node = std::move(merged);
  if (level != 0) return;
  // Nothing of this node's range is uncertain any more.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> rest;
  const std::uint64_t end_child = first_child + format::kNodeChildren;
  for (const auto& [first, end] : open_->uncertain) {
    if (first < std::min(end, first_child)) rest.emplace_back(first, std::min(end, first_child));
    if (std::max(first, end_child) < end) rest.emplace_back(std::max(first, end_child), end);
  }
  open_->uncertain = std::move(rest);
}

RegionClose Checker::derive_close(std::uint64_t size) {
  const std::uint64_t blocks = block_count(size, header_.block_log2);
  const auto root = index_->finish(blocks);
  RegionClose close;
  close.block_records = open_->block_records;
  Digest tree = zero_digest(format::kDigestTreeHeight);
  if (root && *root) {
    close.root = (*root)->record;
    if ((*root)->digest == Digest{}) return close;
    tree = region_tree_digest((*root)->digest, index_->root_height(blocks));
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
  if (const char* fault = closed_region_fault(closing.info)) {
    damage(DamageKind::kRecord, corrupt(record->offset, fault), true);
    closing.info.size = 0;  // nothing is derived from it
    open_.reset();
    return {};
  }
  const auto found = sound ? parse_close(body, record->offset) : Result<RegionClose>(Error{});
  if (found && found->block_records == open_->block_records) open_->uncertain.clear();  // all its blocks were seen
  const RegionClose close = derive_close(size);
  const std::uint64_t pages = page_count(size);
  const std::uint64_t past_last = open_->next_block == 0 ? 0 : (open_->next_block - 1) * header_.block_pages() + open_->last_pages;
  if (past_last > pages || (open_->last_pages != header_.block_pages() && past_last != pages)) {
    damage(DamageKind::kRecord, corrupt(record->offset, "a region's size does not fit its blocks", size), true);
  } else {
    SNAP_TRY(check_filling());
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

// The bytes between a region's end and its last page's end are zero.
Result<void> Checker::check_filling() {
  const std::uint64_t size = region().info.size;
  const std::size_t used = size % kPageBytes;
  if (used == 0 || !open_->last || open_->last->lost || (open_->last->block.page + 1) << header_.block_log2 < size) return {};
  Bytes page = open_->last_page;
  if (open_->last->kinds.back() == wire::kCopy) {
    // The page it is a copy of: read again, since only digests are kept.
    const PageRef source = open_->last_source;
    const PageRef block{source.region, source.page / header_.block_pages()};
    RecordRef ref = open_->last->record;
    if (block != open_->last->block) {
      const auto* seen = window_.find(block);
      if (seen == nullptr || seen->lost) return {};
      ref = seen->record;
    }
    Bytes bytes(ref.record_bytes);
    SNAP_TRY(read_exact(source_, ref.offset, bytes, "the file became shorter"));
    SNAP_TRY_ASSIGN(record, parse_head(bytes, ref.offset));
    SNAP_TRY_ASSIGN(view, parse_block(record, std::span(bytes).subspan(sizeof(wire::RecordHead)), header_));
    Bytes payload(view.payload_bytes());
    Decompressor decompressor;
    std::size_t raw = 0;
    for (std::uint32_t i = 0; i < source.page % header_.block_pages(); ++i) raw += view.kind(i) == wire::kRaw;
    if (!decompressor.decompress(view.codec(), view.payload(), payload) || (raw + 1) * kPageBytes > payload.size()) return {};
    page.assign(payload.begin() + static_cast<std::ptrdiff_t>(raw * kPageBytes), payload.begin() + static_cast<std::ptrdiff_t>((raw + 1) * kPageBytes));
  }
  if (!page.empty() && !is_zero(std::span(page).subspan(used))) {
    damage(DamageKind::kContent, corrupt(open_->last->record.offset, "bytes past a region's end are not zero", open_->last->block.page), true);
  }
  return {};
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

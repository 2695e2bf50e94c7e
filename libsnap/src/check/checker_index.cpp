// SPDX-License-Identifier: Apache-2.0
// What the check does with index nodes.
#include <algorithm>

#include "base/fail.h"
#include "check/checker.h"

namespace snap {

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
  if (!found || first < std::max(open_->next_block, open_->covered) || first >= block_count(std::min(known_size(), format::kMaxRegionBytes), header_.block_log2)) return {};
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

}  // namespace snap

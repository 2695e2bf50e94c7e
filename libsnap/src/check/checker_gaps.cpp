// SPDX-License-Identifier: Apache-2.0
// Where no record is, or not the one that should be: what can be derived, and where the check goes on.
#include <algorithm>

#include "base/fail.h"
#include "check/checker.h"
#include "codec/checksum.h"
#include "image/working_set.h"

namespace snap {

// No record stands where one should: it may be one that can be derived, or some are lost.
Result<void> Checker::take_gap(const Error& why) {
  if (chain_known_) {
    SNAP_TRY_ASSIGN(node, take_derived_node());
    if (node) return {};
    SNAP_TRY_ASSIGN(close, take_derived_close());
    if (close) return {};
    SNAP_TRY_ASSIGN(working_set, take_derived_working_set());
    if (working_set) return {};
    SNAP_TRY_ASSIGN(seal, take_derived_seal());
    if (seal) return {};
  }
  SNAP_TRY_ASSIGN(next, scanner_.next_head(offset_ + 1));
  if (!next) {
    const bool short_head = scanner_.size() - offset_ < sizeof(wire::RecordHead);
    if (!short_head) damage(DamageKind::kGap, why, true);
    offset_ = scanner_.size();
    return {};
  }
  damage(DamageKind::kGap, why, true);
  offset_ = next->offset;
  chain_known_ = false;
  return {};
}

Result<bool> Checker::fits_before_next(const Record& derived) {
  const auto next = scanner_.head(derived.offset + derived.record_bytes());
  if (!next && ends_check(next.error())) return next.error();
  return next && next->prior == derived.head_check;
}

Result<bool> Checker::take_derived_node() {
  const auto due = due_node();
  if (!due) return false;
  const Bytes body = due->node->encode();
  const Record derived = derive(wire::kNode, region_number(), due->level, due->number, body);
  SNAP_TRY_ASSIGN(fits, fits_before_next(derived));
  if (!fits) return false;
  damage(DamageKind::kIndex, corrupt(offset_, "the head of an index node is damaged", due->number), false);
  ++records_;
  prior_ = derived.head_check;
  SNAP_TRY(flush_node(*due, derived, true));
  return true;
}

Result<bool> Checker::take_derived_close() {
  // With a node still to come it is not the region's end that should stand here.
  if (!open_ || known_size() == kUnknownSize || lasting_damage_ || due_node()) return false;
  IndexBuilder saved = *index_;
  node_record_ = nullptr;
  SNAP_TRY_ASSIGN(close, derive_close(known_size()));
  const Bytes body = encode_close(close);
  const Record derived = derive(wire::kClose, region_number(), 0, known_size(), body);
  *index_ = std::move(saved);
  SNAP_TRY_ASSIGN(fits, fits_before_next(derived));
  if (!fits) return false;
  damage(DamageKind::kIndex, corrupt(offset_, "the head of a region's end is damaged"), false);
  ++records_;
  prior_ = derived.head_check;
  SNAP_TRY(close_region(&derived));
  return true;
}

// Its head follows from its body, which is taken for one if the seal names that head.
Result<bool> Checker::take_derived_working_set() {
  if (open_ || lasting_damage_) return false;
  const std::uint64_t body_offset = offset_ + sizeof(wire::RecordHead);
  SNAP_TRY_ASSIGN(start, scanner_.bytes(body_offset, sizeof(wire::WorkingSetBody)));
  const auto body_bytes = working_set_bytes_from_start(start);
  if (!body_bytes) return false;
  SNAP_TRY_ASSIGN(bytes, scanner_.bytes(body_offset, *body_bytes));
  if (!parse_working_set(bytes, offset_, catalog_.regions)) return false;
  const Bytes body(bytes.begin(), bytes.end());
  const Record derived = derive(wire::kWorkingSet, 0, 0, 0, body);
  SNAP_TRY_ASSIGN(fits, fits_before_next(derived));
  if (!fits) return false;
  damage(DamageKind::kIndex, corrupt(offset_, "the head of the working set is damaged"), false);
  ++records_;
  prior_ = derived.head_check;
  after_ancillary_ = after_working_set_ = true;
  offset_ += derived.record_bytes();
  SNAP_TRY(emit_record(derived, body));
  return true;
}

Result<bool> Checker::take_derived_seal() {
  if (open_ || lasting_damage_) return false;
  catalog_.digest = snapshot_digest(catalog_.regions);
  const Bytes body = encode_seal(static_cast<std::uint32_t>(catalog_.regions.size()), catalog_.digest);
  const Record derived = derive(wire::kSeal, 0, 0, 0, body);
  SNAP_TRY_ASSIGN(fits, fits_before_next(derived));
  if (!fits) return false;
  damage(DamageKind::kIndex, corrupt(offset_, "the head of the seal is damaged"), false);
  ++records_;
  prior_ = derived.head_check;
  SNAP_TRY(take_seal(&derived));
  return true;
}

// After a gap: what the found record says of regions that ended or went by unseen.
Result<void> Checker::resume_at(const Record& record) {
  const bool of_region = record.type <= wire::kClose;
  const std::size_t reached = record.type == wire::kRegion ? record.region : record.region + std::size_t{1};
  const std::size_t regions = of_region ? reached : known_ ? known_->regions.size() : catalog_.regions.size();
  const auto leave = [&] {
    open_->uncertain.emplace_back(open_->next_block, ~std::uint64_t{0});
    if (known_ && region_number() < known_->regions.size() &&
        known_->regions[region_number()].close.block_records == open_->block_records) {
      open_->uncertain.clear();  // all its blocks were seen
    }
    if (known_ && region_number() < known_->regions.size()) region() = known_->regions[region_number()];
    const std::uint64_t end = region().info.size == kUnknownSize ? open_->next_block : block_count(region().info.size, header_.block_log2);
    for (const auto& [first, last] : open_->uncertain) lose(first, std::min(last, end) - std::min(first, end));
    open_.reset();
  };
  if (open_ && (!of_region || record.type == wire::kRegion || record.region != region_number())) leave();
  while (catalog_.regions.size() < regions && known_ && catalog_.regions.size() < known_->regions.size()) {
    const CatalogRegion& known = known_->regions[catalog_.regions.size()];
    start_region(known.info);
    region().announced_size = known.announced_size;
    const bool stays = of_region && record.type != wire::kRegion && catalog_.regions.size() == reached;
    if (!stays) leave();
  }
  if (open_ && record.type == wire::kBlock && record.number > open_->next_block) {
    open_->uncertain.emplace_back(open_->next_block, record.number);
  } else if (open_ && (record.type == wire::kNode || record.type == wire::kClose)) {
    // What stood before a node is told by the node; the end leaves it open.
    const std::uint64_t end = record.type == wire::kClose ? block_count(record.number, header_.block_log2)
                                                          : (record.number + 1) << (format::kNodeLog2 * (record.aux % 4 + 1));
    if (end > open_->next_block) open_->uncertain.emplace_back(open_->next_block, end);
  }
  return {};
}

}  // namespace snap

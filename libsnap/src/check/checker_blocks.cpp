// SPDX-License-Identifier: Apache-2.0
// What the check does with blocks.
#include <algorithm>

#include "base/fail.h"
#include "check/checker.h"
#include "codec/checksum.h"
#include "read/image.h"

namespace snap {

namespace {
constexpr std::size_t kBatchBlocks = 128;
constexpr std::size_t kBatchBytes = 16u << 20;
}  // namespace

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
  decode_blocks(batch_, header_, link_ ? &*link_ : nullptr, options_.threads);
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
  if (block.parent_error.code != Code::kOk) {
    if (ends_check(block.parent_error) || block.parent_error.code == Code::kLimit) return block.parent_error;
    damage(DamageKind::kParent, block.parent_error, false);
  }
  const bool known = std::find(block.digests.begin(), block.digests.end(), Digest{}) == block.digests.end();
  report_.content_compared &= known || lost;
  if (!lost && !incomplete && known) {
    std::vector<Digest> nodes = block.digests;
    digest = tree_digest(nodes);
    if (!header_.has_parent() && digest == zero_digest(header_.block_log2 - format::kPageLog2)) {
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
    const auto [source, of_parent] = block.sources[next++];
    if (of_parent) continue;
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

// The last block has no record: then what the parent has behind the end is its filling, unless the end was announced.
Result<void> Checker::check_parents_filling(std::uint64_t last_page, std::size_t used, std::uint64_t close_offset) {
  if (!link_ || region().announced_size != kUnknownSize || is_lost({region_number(), last_page >> header_.block_log2})) return {};
  Bytes page(kPageBytes);
  if (const auto read = link_->read(region_number(), last_page, page, {}); !read) {
    if (ends_check(read.error()) || read.error().code == Code::kLimit) return read;
    damage(DamageKind::kParent, read.error(), false);
    report_.content_compared = false;
  } else if (!is_zero(std::span(page).subspan(used))) {
    damage(DamageKind::kContent, corrupt(close_offset, "bytes past a region's end are not zero in the parent", last_page), true);
  }
  return {};
}

// The bytes between a region's end and its last page's end are zero.
Result<void> Checker::check_filling(std::uint64_t close_offset) {
  const std::uint64_t size = region().info.size;
  const std::size_t used = size % kPageBytes;
  if (used == 0) return {};
  if (!open_->last || (open_->last->block.page + 1) << header_.block_log2 < size) return check_parents_filling(size - used, used, close_offset);
  if (open_->last->lost) return {};
  Bytes page = open_->last_page;
  if (open_->last->kinds.back() == wire::kCopy && page.empty()) {
    // The page it is a copy of: read again, since only digests are kept.
    const auto [source, of_parent] = open_->last_source;
    if (of_parent) return {};  // not to be had, or it would be in last_page
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
    if (view.over_parent() && !link_) return {};
    Bytes decoded(std::size_t{view.pages()} * kPageBytes);
    Scratch scratch;
    std::vector<PendingCopy> others;
    auto read = view.over_parent() ? link_->read(block.region, block.page << header_.block_log2, decoded, {}) : Result<void>();
    if (read) read = decode_block(record, view, header_, decoded, target_of(view), scratch, others, link_ ? &*link_ : nullptr);
    if (!read) return ends_check(read.error()) ? read : Result<void>();  // else it was told when the block was decoded
    const std::uint64_t in_block = source.page % header_.block_pages();
    if (in_block >= view.pages()) return {};
    const auto at = decoded.begin() + static_cast<std::ptrdiff_t>(in_block * kPageBytes);
    page.assign(at, at + static_cast<std::ptrdiff_t>(kPageBytes));
  }
  if (!page.empty() && !is_zero(std::span(page).subspan(used))) {
    damage(DamageKind::kContent, corrupt(open_->last->record.offset, "bytes past a region's end are not zero", open_->last->block.page), true);
  }
  return {};
}
}  // namespace snap

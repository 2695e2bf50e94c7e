// SPDX-License-Identifier: Apache-2.0
// Reading a snapshot front to back, from a pipe, in bounded memory.
#include <algorithm>
#include <cstring>
#include <deque>
#include <set>
#include <utility>

#include "base/fail.h"
#include "chain/parent_link.h"
#include "codec/checksum.h"
#include "image/catalog.h"
#include "image/index.h"
#include "image/working_set.h"
#include "read/image.h"
#include "snap/restore.h"

namespace snap {

namespace {

/// BLOCK records as they came, as far back as copies reach.
class Window {
 public:
  explicit Window(std::size_t blocks) : blocks_(blocks) {}
  struct Kept {
    Record record;
    Bytes body;
  };
  void push(const Record& record, Bytes body) {
    if (blocks_ == 0) return;
    if (kept_.size() == blocks_) kept_.pop_front();
    kept_.push_back({record, std::move(body)});
  }
  const Kept* find(PageRef block) const {
    const auto at = std::lower_bound(kept_.begin(), kept_.end(), block, [](const Kept& kept, PageRef wanted) {
      return PageRef{kept.record.region, kept.record.number} < wanted;
    });
    return at != kept_.end() && at->record.region == block.region && at->record.number == block.page ? &*at : nullptr;
  }

 private:
  std::size_t blocks_;
  std::deque<Kept> kept_;
};

class StreamReader {
  static constexpr std::size_t kParentPiece = 1u << 20;

 public:
  StreamReader(ByteSource& source, StreamVisitor& visitor, const FindParent& find_parent)
      : source_(source), visitor_(visitor), find_parent_(find_parent) {}

  Result<StreamResult> run() {
    SNAP_TRY(read_header());
    if (header_.has_parent()) SNAP_TRY(read_parent());
    while (!sealed_) SNAP_TRY(read_record());
    SNAP_TRY(read_end());
    return StreamResult{catalog_.digest, catalog_.metadata, offset_, std::move(working_set_)};
  }

 private:
  Result<void> fill(std::span<std::byte> out, const char* what) {
    SNAP_TRY_ASSIGN(got, read_full(source_, out));
    offset_ += got;
    if (got != out.size()) return truncated(offset_, what);
    return {};
  }

  Result<void> read_header() {
    Bytes bytes(kHeaderStart);
    SNAP_TRY_ASSIGN(got, read_full(source_, bytes));
    offset_ = got;
    bytes.resize(got);
    SNAP_TRY_ASSIGN(length, header_length(bytes));
    bytes.resize(length);
    SNAP_TRY(fill(std::span(bytes).subspan(kHeaderStart), "the file ends inside its header"));
    SNAP_TRY_ASSIGN(header, parse_header(bytes));
    header_ = std::move(header);
    window_.emplace(header_.copy_window);
    prior_ = header_.check;
    return {};
  }

  Result<void> read_parent() {
    Bytes body;
    SNAP_TRY_ASSIGN(record, next(body));
    if (record.type != wire::kParent) return corrupt(record.offset, "a file with a parent that does not begin by naming it", record.type);
    SNAP_TRY_ASSIGN(parent, parse_parent(body, record.offset));
    catalog_.parent = parent;
    if (!find_parent_) return fail(Code::kParentMismatch, "the snapshot is a difference and needs its parent");
    SNAP_TRY_ASSIGN(reader, find_parent_(parent));
    if (reader == nullptr) return fail(Code::kParentMismatch, "the parent was not found");
    SNAP_TRY(ParentLink::verify(*reader, parent, header_.parent_depth));
    link_.emplace(*reader);
    return {};
  }

  // A head and its body, in their place in the chain.
  Result<Record> next(Bytes& body) {
    const std::uint64_t at = offset_;
    std::byte head[sizeof(wire::RecordHead)];
    SNAP_TRY(fill(head, "the file ends before its end: it is incomplete"));
    SNAP_TRY_ASSIGN(record, parse_head(head, at));
    if (record.prior != prior_) return corrupt(at, "a record that does not follow the one before it");
    body.resize(record.body_bytes);
    SNAP_TRY(fill(body, "the file ends inside a record"));
    SNAP_TRY(verify_body(record, body));
    prior_ = record.head_check;
    ++records_;
    return record;
  }

  Result<void> read_record() {
    Bytes body;
    SNAP_TRY_ASSIGN(record, next(body));
    const bool behind_ancillary = std::exchange(after_ancillary_, record.ancillary());
    if (record.type != wire::kSeal) working_set_.clear();
    if (record.type == wire::kWorkingSet && !open_) take_working_set(record, body);
    if (record.ancillary()) return {};
    if (record.type == wire::kNode && behind_ancillary) return corrupt(record.offset, "an index node behind an ancillary record");
    switch (record.type) {
      case wire::kRegion: return open_region(record, body);
      case wire::kBlock: return take_block(record, std::move(body));
      case wire::kNode: return take_node(record, body);
      case wire::kClose: return close_region(record, body);
      case wire::kMeta: return take_metadata(record, body);
      case wire::kSeal: return seal(record, body);
      default: return corrupt(record.offset, "a record out of its order", record.type);
    }
  }

  // One that cannot be is none: no content depends on it.
  void take_working_set(const Record& record, std::span<const std::byte> body) {
    if (auto ranges = parse_working_set(body, record.offset, catalog_.regions)) working_set_ = std::move(*ranges);
  }

  Result<void> open_region(const Record& record, std::span<const std::byte> body) {
    if (open_ || record.region != catalog_.regions.size() || record.region >= format::kMaxRegions) {
      return corrupt(record.offset, "a region out of its order", record.region);
    }
    SNAP_TRY_ASSIGN(info, parse_region_body(body, record.offset));
    if (!names_.emplace(info.kind, info.name).second) return corrupt(record.offset, "two regions of one name");
    catalog_.regions.push_back({info, info.size, {}});
    open_ = true;
    next_block_ = 0;
    block_records_ = 0;
    last_pages_ = header_.block_pages();
    delivered_ = 0;
    if (link_) link_->add_region(info, info.size);
    return visitor_.region_begin(record.region, info);
  }

  Result<void> take_block(const Record& record, Bytes body) {
    SNAP_TRY(in_region(record));
    if (record.number < next_block_ || last_pages_ != header_.block_pages()) return corrupt(record.offset, "a block out of its order", record.number);
    SNAP_TRY_ASSIGN(view, parse_block(record, body, header_));
    const std::uint64_t first_page = record.number * header_.block_pages();
    const std::uint64_t known = region().info.size;
    if (known != kUnknownSize) {
      const std::uint64_t pages = page_count(known);
      if (first_page >= pages || view.pages() != std::min<std::uint64_t>(header_.block_pages(), pages - first_page)) {
        return corrupt(record.offset, "a block that its region does not have", record.number);
      }
    }
    SNAP_TRY(deliver_held(format::kMaxRegionBytes));
    SNAP_TRY(deliver_parent(first_page * kPageBytes));
    block_.resize(std::size_t{view.pages()} * kPageBytes);
    std::vector<PendingCopy> pending;
    std::uint32_t allowance = ReadTask::kAllowance;
    const ReadTask task{.allowance = &allowance};
    if (view.needs_parent()) SNAP_TRY(link_->read(record.region, first_page * kPageBytes, block_, task));
    SNAP_TRY(decode_block(record, view, header_, block_, target_of(view), scratch_, pending, link(), task));
    SNAP_TRY(resolve(record, pending, task));
    if (known != kUnknownSize) SNAP_TRY(verify_filling(block_, first_page * kPageBytes, known, record.offset));
    next_block_ = record.number + 1;
    last_pages_ = view.pages();
    ++block_records_;
    window_->push(record, std::move(body));
    return deliver(first_page * kPageBytes);
  }

  // The size ends inside the last page. Where it comes behind the blocks, the last page of each waits for what is next.
  Result<void> deliver(std::uint64_t offset) {
    std::span<const std::byte> bytes = block_;
    const std::uint64_t size = region().info.size;
    if (size != kUnknownSize) return deliver(offset, bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), size - offset))));
    held_offset_ = offset + bytes.size() - kPageBytes;
    const auto last = bytes.last(kPageBytes);
    held_.assign(last.begin(), last.end());
    return deliver(offset, bytes.first(bytes.size() - kPageBytes));
  }
  Result<void> deliver(std::uint64_t offset, std::span<const std::byte> bytes) {
    delivered_ = offset + bytes.size();
    return bytes.empty() ? Result<void>() : visitor_.region_bytes(catalog_.regions.size() - 1, offset, bytes);
  }
  Result<void> deliver_held(std::uint64_t size) {
    const Bytes page = std::exchange(held_, {});
    if (page.empty()) return {};
    return deliver(held_offset_, std::span(page).first(static_cast<std::size_t>(std::min<std::uint64_t>(kPageBytes, size - held_offset_))));
  }

  // What no record stood for, up to `end`, is as in the parent.
  Result<void> deliver_parent(std::uint64_t end) {
    if (!link_) return {};
    const std::size_t region = catalog_.regions.size() - 1;
    Bytes piece;
    while (delivered_ < end) {
      SNAP_TRY_ASSIGN(extent, link_->extent(region, delivered_, std::min(end, delivered_ + kParentPiece)));
      if (!extent.data) {
        SNAP_TRY_ASSIGN(zeros, link_->extent(region, delivered_, end));
        delivered_ += zeros.length;
        continue;
      }
      piece.resize(static_cast<std::size_t>(extent.length));
      SNAP_TRY(link_->read(region, delivered_, piece, {}));
      SNAP_TRY(deliver(delivered_, piece));
    }
    return {};
  }

  Result<void> resolve(const Record& record, std::vector<PendingCopy>& pending, const ReadTask& task) {
    for (const PendingCopy& copy : pending) {
      if (!copy.source.of_parent) continue;
      SNAP_TRY(link_->read_page(copy.source.page, std::span(block_).subspan(std::size_t{copy.page} * kPageBytes, kPageBytes), task));
    }
    std::erase_if(pending, [](const PendingCopy& copy) { return copy.source.of_parent; });
    return resolve_own(record, pending, task);
  }

  // All copies of a block within the file name one other block: it is decoded once.
  Result<void> resolve_own(const Record& record, std::span<const PendingCopy> pending, const ReadTask& task) {
    if (pending.empty()) return {};
    const PageRef block{pending[0].source.page.region, pending[0].source.page.page / header_.block_pages()};
    const Window::Kept* kept = window_->find(block);
    if (kept == nullptr) return corrupt(record.offset, "a copy of a page outside the copy window");
    SNAP_TRY_ASSIGN(view, parse_block(kept->record, kept->body, header_));
    source_block_.resize(std::size_t{view.pages()} * kPageBytes);
    std::vector<PendingCopy> ignored;
    if (view.needs_parent()) SNAP_TRY(link_->read(block.region, kept->record.number << header_.block_log2, source_block_, task));
    SNAP_TRY(decode_block(kept->record, view, header_, source_block_, target_of(view), scratch_, ignored, link(), task));
    for (const PendingCopy& copy : pending) {
      const std::uint64_t page = copy.source.page.page % header_.block_pages();
      if (page >= view.pages() || view.kind(static_cast<std::uint32_t>(page)) != wire::kRaw) {
        return corrupt(record.offset, "a copy of a page that is not raw", copy.page);
      }
      std::memcpy(block_.data() + std::size_t{copy.page} * kPageBytes, source_block_.data() + page * kPageBytes, kPageBytes);
    }
    return {};
  }

  // Nodes tell a front-to-back reader nothing; that they are there is seen from the chain, that they are right by check().
  Result<void> take_node(const Record& record, std::span<const std::byte> body) {
    SNAP_TRY(in_region(record));
    SNAP_TRY(parse_node(record, body));
    return {};
  }

  Result<void> close_region(const Record& record, std::span<const std::byte> body) {
    SNAP_TRY(in_region(record));
    SNAP_TRY_ASSIGN(close, parse_close(body, record.offset));
    CatalogRegion& closing = region();
    const std::uint64_t announced = closing.info.size;
    if (announced != kUnknownSize && announced != record.number) return corrupt(record.offset, "a region's size is not the one announced");
    closing.info.size = record.number;
    if (const char* fault = closed_region_fault(closing.info)) return corrupt(record.offset, fault);
    const std::uint64_t pages = page_count(record.number);
    const std::uint64_t past_last = next_block_ == 0 ? 0 : (next_block_ - 1) * header_.block_pages() + last_pages_;
    const bool last_is_short = last_pages_ != header_.block_pages();
    if (past_last > pages || (last_is_short && past_last != pages)) return corrupt(record.offset, "a region's size does not fit its blocks");
    if (past_last == pages && next_block_ != 0) {
      SNAP_TRY(verify_filling(block_, (next_block_ - 1) << header_.block_log2, record.number, record.offset));
    }
    if (close.block_records != block_records_) return corrupt(record.offset, "a region has another number of blocks than its end says");
    closing.close = close;
    open_ = false;
    SNAP_TRY(deliver_held(record.number));
    if (link_) link_->set_size(record.region, record.number);
    SNAP_TRY(deliver_parent(record.number));
    return visitor_.region_end(record.region, record.number);
  }

  Result<void> take_metadata(const Record& record, std::span<const std::byte> body) {
    if (open_) return corrupt(record.offset, "metadata inside a region");
    SNAP_TRY_ASSIGN(pairs, parse_metadata(body, record.offset));
    for (auto& [key, value] : pairs) catalog_.metadata.insert_or_assign(key, value);
    if (pairs.empty()) return corrupt(record.offset, "empty metadata");
    metadata_bytes_ += body.size();
    if (metadata_bytes_ > format::kMaxMetaBytes) return corrupt(record.offset, "the metadata is over its limit");
    return {};
  }

  Result<void> seal(const Record& record, std::span<const std::byte> body) {
    if (open_) return corrupt(record.offset, "the seal inside a region");
    SNAP_TRY_ASSIGN(seal, parse_seal(body, record.offset));
    catalog_.digest = snapshot_digest(catalog_.regions);
    if (seal.regions != catalog_.regions.size() || seal.digest != catalog_.digest) {
      return corrupt(record.offset, "the seal does not fit the regions");
    }
    sealed_ = true;
    return {};
  }

  // Catalog and trailer hold nothing new: they must be what follows from the rest.
  Result<void> read_end() {
    Bytes body;
    SNAP_TRY_ASSIGN(record, next(body));
    if (record.type != wire::kCatalog || body != encode_catalog(catalog_)) return corrupt(record.offset, "the catalog does not fit the file");
    Bytes trailer(kTrailerBytes);
    const std::uint64_t at = offset_;
    SNAP_TRY(fill(trailer, "the file ends inside its trailer: it is incomplete"));
    if (trailer != encode_trailer({offset_, ref_to(record), header_.check, records_})) return corrupt(at, "the trailer does not fit the file");
    std::byte more[1];
    SNAP_TRY_ASSIGN(extra, source_.read(more));
    if (extra != 0) return corrupt(offset_, "bytes after the end of the snapshot");
    return {};
  }

  const ParentLink* link() const { return link_ ? &*link_ : nullptr; }
  CatalogRegion& region() { return catalog_.regions.back(); }

  Result<void> in_region(const Record& record) const {
    if (!open_ || record.region + std::size_t{1} != catalog_.regions.size()) return corrupt(record.offset, "a record outside its region", record.type);
    return {};
  }

  ByteSource& source_;
  StreamVisitor& visitor_;
  const FindParent& find_parent_;
  std::optional<ParentLink> link_;
  Header header_;
  Catalog catalog_;
  std::set<std::pair<RegionKind, std::string>> names_;
  std::optional<Window> window_;
  std::uint64_t offset_ = 0;
  std::uint64_t prior_ = 0;
  std::uint64_t records_ = 0;
  bool open_ = false;
  bool sealed_ = false;
  bool after_ancillary_ = false;
  std::vector<TouchedRange> working_set_;
  std::uint64_t metadata_bytes_ = 0;
  std::uint64_t next_block_ = 0;
  std::uint32_t last_pages_ = 0;
  std::uint64_t block_records_ = 0;
  Bytes block_;
  Bytes held_;  // the last page of the last block, of a region of unknown size
  std::uint64_t held_offset_ = 0;
  std::uint64_t delivered_ = 0;  // of the region: what lies before it was delivered, or is zero
  Bytes source_block_;
  Scratch scratch_;
};

}  // namespace

Result<StreamResult> read_stream(ByteSource& source, StreamVisitor& visitor, const FindParent& find_parent) {
  return StreamReader(source, visitor, find_parent).run();
}

}  // namespace snap

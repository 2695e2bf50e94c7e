// SPDX-License-Identifier: Apache-2.0
#include "snap/reader.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "codec/checksum.h"
#include "chain/page_reader.h"
#include "read/bare_reader.h"
#include "read/cached_block.h"
#include "read/child_reader.h"
#include "read/front_pages.h"
#include "read/image.h"
#include "read/image_reader.h"
#include "read/opened.h"
#include "read/range_digest.h"

namespace snap {

namespace {

using BlockPtr = std::shared_ptr<CachedBlock>;

/// One block's share of a read.
struct Piece {
  std::size_t region = 0;
  std::uint64_t block = 0;
  std::size_t offset = 0;  // in the block
  std::span<std::byte> out;
  ReadTask task{};
  bool of_copy = false;  // a copy of one page, which must be raw
};

class ReaderImpl final : public ImageReader, public OpenedImage, public PageReader {
 public:
  ReaderImpl(std::unique_ptr<Image> image, std::size_t cache_bytes)
      : ImageReader(std::move(image)), memory_(image_->header().block_bytes()), cache_(cache_bytes, image_->header().block_bytes()) {}

  Image& image() override { return *image_; }
  Result<void> read_source(CopyRef source, std::span<std::byte> to, const ReadTask&) override { return CopySource(*this).copy(source.page, to); }

  Result<void> read(std::size_t region, std::uint64_t offset, std::span<std::byte> out) override {
    const ReadTask task;
    SNAP_TRY(in_region(region, offset, out.size()));
    return read_into(region, offset, out, task);
  }

  Result<void> read_into(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) override {
    while (!out.empty()) {
      Piece piece = first_piece(region, offset, out);
      piece.task = task;
      SNAP_TRY(read_piece(piece));
      offset += piece.out.size();
      out = out.subspan(piece.out.size());
    }
    return {};
  }

  Result<bool> in_place(std::size_t, std::uint64_t, std::uint64_t) override { return true; }

  Result<void> read_batch(std::span<const RegionRead> batch) override {
    std::vector<Piece> pieces;
    for (const RegionRead& read : batch) {
      SNAP_TRY(in_region(read.region, read.offset, read.out.size()));
      std::uint64_t offset = read.offset;
      for (auto out = read.out; !out.empty();) {
        pieces.push_back(first_piece(read.region, offset, out));
        offset += pieces.back().out.size();
        out = out.subspan(pieces.back().out.size());
        if (pieces.size() == batch_blocks()) SNAP_TRY(read_pieces(pieces));
      }
    }
    return read_pieces(pieces);
  }

  Result<Digest> block_digest(std::size_t region, std::uint64_t block) override {
    if (region >= infos_.size() || block >= image_->blocks(region)) return invalid("no such block");
    SNAP_TRY_ASSIGN(entry, image_->find(region, block));
    return entry ? entry->digest : zero_digest(image_->header().block_log2 - format::kPageLog2);
  }

  Result<Digest> range_digest(std::size_t region, unsigned height, std::uint64_t number) override {
    if (region >= infos_.size() || height > format::kDigestTreeHeight) return invalid("no such range");
    return RangeDigest(*image_, region, {}, [&](std::uint64_t offset, std::span<std::byte> out) { return read(region, offset, out); })
        .of(height, number);
  }

  Result<Extent> extent(std::size_t region, std::uint64_t offset, std::uint64_t end) override {
    SNAP_TRY(in_region(region, offset, 1));
    if (end <= offset) return invalid("an extent that ends where it begins", offset);
    return extent_until(region, offset, std::min(end, infos_[region].size));
  }

  void limit_cache(std::size_t bytes) override { limit(bytes, cache_, memory_); }

  Result<Extent> extent_until(std::size_t region, std::uint64_t offset, std::uint64_t end) override {
    const unsigned log2 = image_->header().block_log2;
    const std::uint64_t first = offset >> log2;
    SNAP_TRY_ASSIGN(present, image_->next_present(region, first));
    if (present != first) return Extent{offset, std::min(end, present << log2) - offset, false};
    std::uint64_t block = first;
    while (block == present && block << log2 < end) {
      ++block;
      SNAP_TRY_ASSIGN(next, image_->next_present(region, block));
      present = next;
    }
    return Extent{offset, std::min(end, block << log2) - offset, true};
  }

 private:
  using Claim = SharedCache<CachedBlock>::Claim;
  static constexpr std::size_t kBatchBlocks = 64;
  static constexpr std::size_t kBatchBytes = 8u << 20;

  std::size_t batch_blocks() const { return std::clamp<std::size_t>(kBatchBytes / image_->header().block_bytes(), 1, kBatchBlocks); }

  Piece first_piece(std::size_t region, std::uint64_t offset, std::span<std::byte> out) const {
    const std::uint64_t block_bytes = image_->header().block_bytes();
    const std::size_t in_block = static_cast<std::size_t>(offset % block_bytes);
    return {region, offset / block_bytes, in_block, out.first(std::min<std::size_t>(out.size(), block_bytes - in_block))};
  }

  bool whole(const Piece& piece) const {
    return piece.offset == 0 && piece.out.size() == std::size_t{image_->pages_of(piece.region, piece.block)} * kPageBytes;
  }

  Result<void> read_piece(const Piece& piece) {
    SNAP_TRY(piece.task.may_decode());
    const std::uint64_t k = key(piece.region, piece.block);
    SNAP_TRY_ASSIGN(cached, cache_.claim(k));
    if (cached != nullptr && piece.of_copy && !cached->raw(piece.offset / kPageBytes)) return not_raw(piece);
    if (cached != nullptr) return copy_out(*cached, piece);
    Claim claim(cache_, k);
    auto result = load_piece(claim, piece);
    if (!result) claim.abandon(result.error());
    return result;
  }

  Result<void> load_piece(Claim& claim, const Piece& piece) {
    SNAP_TRY_ASSIGN(entry, image_->find(piece.region, piece.block));
    if (!entry && piece.of_copy) return corrupt(0, "a copy of a page in a block without a record", piece.block);
    if (!entry) return settle_zero(claim, piece);
    piece.task.spend_block();
    auto lease = image_->scratches().take();
    Record record;
    SNAP_TRY_ASSIGN(view, image_->fetch(entry->record, piece.region, piece.block, *lease, record));
    return deliver(claim, piece, record, view, *lease);
  }

  // A zero block is not worth memory in the cache.
  Result<void> settle_zero(Claim& claim, const Piece& piece) {
    if (!piece.task.zeroed) std::memset(piece.out.data(), 0, piece.out.size());
    if (claim.settle()) return {};
    auto block = std::make_shared<CachedBlock>(image_->pages_of(piece.region, piece.block), memory_);
    std::memset(block->bytes().data(), 0, block->bytes().size());
    claim.publish(block);
    return {};
  }

  // From the checked record to the caller: straight where the read covers the block, else by way of the cache.
  Result<void> deliver(Claim& claim, const Piece& piece, const Record& record, const BlockView& view, Scratch& scratch) {
    if (piece.of_copy && view.kind(static_cast<std::uint32_t>(piece.offset / kPageBytes)) != wire::kRaw) return not_raw(piece);
    if (whole(piece)) {
      std::vector<PendingCopy> pending;
      SNAP_TRY(decode_block(record, view, image_->header(), piece.out, piece.task.zeroed ? Target::kZeros : Target::kAnything, scratch, pending));
      if (!claim.settle()) {
        auto block = std::make_shared<CachedBlock>(view.pages(), memory_);
        std::memcpy(block->bytes().data(), piece.out.data(), piece.out.size());
        finish_block(*block, view, pending);
        claim.publish(block);
      }
      CopySource from(*this);
      for (const PendingCopy& copy : pending) {
        SNAP_TRY(from.copy(copy.source.page, piece.out.subspan(std::size_t{copy.page} * kPageBytes, kPageBytes)));
      }
      return {};
    }
    // The first touch may stay the only one. Where others wait for the block all of it is decoded.
    // (What a block of a child needs of its parents is counted in whole blocks.)
    if (piece.task.allowance == nullptr && touched_.is_first(key(piece.region, piece.block))) {
      if (decode_front(view, piece.offset, piece.out, scratch) && claim.settle()) return {};
      const auto source = piece.of_copy ? std::nullopt : lone_copy(view, piece.offset, piece.out.size());
      if (source && claim.settle()) return read_copy(source->page, piece);
    }
    auto block = std::make_shared<CachedBlock>(view.pages(), memory_);
    std::vector<PendingCopy> pending;
    SNAP_TRY(decode(record, view, *block, scratch, pending));
    finish_block(*block, view, pending);
    claim.publish(block);
    return copy_out(*block, piece);
  }

  static Error not_raw(const Piece& piece) { return corrupt(0, "a copy of a page that is not raw", piece.offset / kPageBytes); }

  // Goes no deeper than one block.
  Result<void> read_copy(PageRef page, const Piece& piece) {
    if (page.region >= infos_.size() || page.page / image_->header().block_pages() >= image_->blocks(page.region)) {
      return corrupt(0, "a copy of a page outside its region", page.page);
    }
    const std::uint32_t block_pages = image_->header().block_pages();
    const std::size_t at = page.page % block_pages * kPageBytes + piece.offset % kPageBytes;
    if (page.page % block_pages >= image_->pages_of(page.region, page.page / block_pages)) return corrupt(0, "a copy of a page outside its region", page.page);
    return read_piece({page.region, page.page / block_pages, at, piece.out, piece.task, true});
  }

  // The filling of a short last page is looked at here, or, where that page is a copy of another block's, when it is resolved.
  Result<void> decode(const Record& record, const BlockView& view, CachedBlock& block, Scratch& scratch, std::vector<PendingCopy>& pending) {
    SNAP_TRY(decode_block(record, view, image_->header(), block.bytes(), Target::kAnything, scratch, pending));
    if (!pending.empty() && pending.back().page == view.pages() - 1) return {};
    return verify_filling(block.bytes(), record.number << image_->header().block_log2, infos_[record.region].size, record.offset);
  }

  static void finish_block(CachedBlock& block, const BlockView& view, const std::vector<PendingCopy>& pending) {
    for (std::uint32_t page = 0; page < view.pages(); ++page) {
      if (view.kind(page) == wire::kRaw) block.note_raw(page);
    }
    block.pending() = pending;
    block.seal();
  }

  Result<void> copy_out(CachedBlock& block, const Piece& piece) {
    CopySource from(*this);
    return block.copy_out(piece.offset, piece.out, [&](const CopyRef& source, std::size_t at, std::span<std::byte> to) -> Result<void> {
      SNAP_TRY(from.copy(source.page, to));
      return verify_filling(to, (piece.block << image_->header().block_log2) + at, infos_[piece.region].size, 0);
    });
  }

  /// The pages that a block's copies name: raw in their block, so this goes no deeper. All are in one block, which is had once,
  /// whatever the cache keeps.
  class CopySource {
   public:
    explicit CopySource(ReaderImpl& reader) : reader_(reader) {}

    Result<void> copy(PageRef page, std::span<std::byte> to) {
      const std::uint32_t block_pages = reader_.image_->header().block_pages();
      const PageRef place{page.region, page.page / block_pages};
      if (block_ == nullptr || place != place_) {
        SNAP_TRY_ASSIGN(block, reader_.load(place));
        block_ = std::move(block);
        place_ = place;
      }
      const std::uint64_t in_block = page.page % block_pages;
      if (!block_->raw(in_block)) return corrupt(0, "a copy of a page that is not raw", page.page);
      std::memcpy(to.data(), block_->bytes().data() + in_block * kPageBytes, kPageBytes);
      return {};
    }

   private:
    ReaderImpl& reader_;
    BlockPtr block_;
    PageRef place_;
  };

  // A block that copies name, as (region, block).
  Result<BlockPtr> load(PageRef place) {
    if (place.region >= infos_.size() || place.page >= image_->blocks(place.region)) {
      return corrupt(0, "a copy of a page outside its region", place.page);
    }
    return cache_.get(key(place.region, place.page), [&]() -> Result<BlockPtr> {
      SNAP_TRY_ASSIGN(entry, image_->find(place.region, place.page));
      if (!entry) return corrupt(0, "a copy of a page in a block without a record", place.page);
      auto lease = image_->scratches().take();
      Record record;
      SNAP_TRY_ASSIGN(view, image_->fetch(entry->record, place.region, place.page, *lease, record));
      auto loaded = std::make_shared<CachedBlock>(view.pages(), memory_);
      std::vector<PendingCopy> pending;
      SNAP_TRY(decode(record, view, *loaded, *lease, pending));
      finish_block(*loaded, view, pending);
      return loaded;
    });
  }

  // A batch: what is neither here nor on its way is read in one submission.
  Result<void> read_pieces(std::vector<Piece>& pieces) {
    std::vector<ReadRequest> requests;
    std::vector<Bytes> buffers;
    std::vector<std::pair<RecordRef, const Piece*>> wanted;
    for (const Piece& piece : pieces) {
      if (cache_.peek(key(piece.region, piece.block)) != nullptr) continue;
      SNAP_TRY_ASSIGN(entry, image_->find(piece.region, piece.block));
      if (entry && entry->record.record_bytes <= sizeof(wire::RecordHead) + format::kMaxBodyBytes) wanted.emplace_back(entry->record, &piece);
    }
    std::sort(wanted.begin(), wanted.end(), [](const auto& a, const auto& b) { return a.first.offset < b.first.offset; });
    wanted.erase(std::unique(wanted.begin(), wanted.end(), [](const auto& a, const auto& b) { return a.first == b.first; }), wanted.end());
    buffers.reserve(wanted.size());
    for (const auto& [ref, piece] : wanted) {
      buffers.emplace_back(ref.record_bytes);
      requests.push_back({ref.offset, buffers.back(), 0});
    }
    SNAP_TRY(image_->source().read_batch(requests));
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (requests[i].done != requests[i].out.size()) return truncated(requests[i].offset + requests[i].done, "the file became shorter");
      SNAP_TRY(read_arrived(*wanted[i].second, wanted[i].first, buffers[i]));
    }
    // The rest is here already, or zero, or came with a batch mate's block.
    for (const Piece& piece : pieces) {
      const bool done = std::any_of(wanted.begin(), wanted.end(), [&](const auto& item) { return item.second == &piece; });
      if (!done) SNAP_TRY(read_piece(piece));
    }
    pieces.clear();
    return {};
  }

  Result<void> read_arrived(const Piece& piece, const RecordRef& ref, std::span<const std::byte> bytes) {
    const std::uint64_t k = key(piece.region, piece.block);
    SNAP_TRY_ASSIGN(cached, cache_.claim(k));
    if (cached != nullptr) return copy_out(*cached, piece);
    Claim claim(cache_, k);
    auto result = deliver_arrived(claim, piece, ref, bytes);
    if (!result) claim.abandon(result.error());
    return result;
  }

  Result<void> deliver_arrived(Claim& claim, const Piece& piece, const RecordRef& ref, std::span<const std::byte> bytes) {
    Record record;
    SNAP_TRY_ASSIGN(view, image_->view(ref, piece.region, piece.block, bytes, record));
    auto lease = image_->scratches().take();
    return deliver(claim, piece, record, view, *lease);
  }

  BlockMemory memory_;
  SharedCache<CachedBlock> cache_;
  LatelyTouched touched_;
};

}  // namespace

Result<std::unique_ptr<Reader>> Reader::open(RandomSource& source, const ReaderOptions& options) {
  const std::size_t nodes = options.cache_bytes / ImageReader::kNodeShare;
  SNAP_TRY_ASSIGN(image, Image::open(source, nodes));
  const auto& wanted = image->catalog().parent;
  if (options.without_parent && options.parent != nullptr) return invalid("a parent for a reader that is to do without");
  if (options.without_parent && wanted) return make_bare_reader(std::move(image));
  if (wanted.has_value() != (options.parent != nullptr)) {
    return fail(Code::kParentMismatch, wanted ? "the snapshot is a difference and needs its parent" : "the snapshot has no parent");
  }
  if (wanted) {
    SNAP_TRY(ParentLink::verify(*options.parent, *wanted, image->header().parent_depth));
    return make_child_reader(std::move(image), *options.parent, options.cache_bytes - nodes);
  }
  return std::unique_ptr<Reader>(std::make_unique<ReaderImpl>(std::move(image), options.cache_bytes - nodes));
}

}  // namespace snap

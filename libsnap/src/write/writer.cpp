// SPDX-License-Identifier: Apache-2.0
#include "snap/writer.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <set>

#include "base/fail.h"
#include "codec/checksum.h"
#include "image/catalog.h"
#include "image/index.h"
#include "image/working_set.h"
#include "io/file.h"
#include "write/filler.h"
#include "write/parent_pages.h"
#include "write/record_log.h"

namespace snap {

namespace {

// A page that a dictionary names costs a reader a block in each file below, and where that one is over its parent's pages, those. In
// files of so large blocks, or so many files, a block with many named pages would come near the limit of SPEC 12.
constexpr unsigned kMostFilesBelow = 16;
constexpr std::uint32_t kMostBlockBytes = 256u << 10;

bool may_name_pages(const Reader& parent, std::uint32_t block_bytes) {
  if (parent.depth() == 0) return true;
  if (block_bytes > kMostBlockBytes || parent.depth() >= kMostFilesBelow) return false;
  for (const Reader* file = &parent; file != nullptr; file = file->parent()) {
    if (file->block_bytes() > kMostBlockBytes) return false;
  }
  return true;
}

class WriterImpl final : public Writer {
 public:
  WriterImpl(ByteSink& sink, const WriterOptions& options) : options_(options), log_(sink, header_) {
    if (options_.level == WriterOptions::kDefaultLevel) options_.level = default_level(options_.codec);
    header_.block_log2 = static_cast<unsigned>(std::countr_zero(options_.block_bytes));
    if (options_.parent != nullptr) {
      header_.set_parent_depth(options_.parent->depth() + 1);
      delta_.emplace(Delta{ParentLink(*options_.parent)});
      delta_->form = options_.delta;
      if (const auto* indexed = dynamic_cast<const IndexedPages*>(options_.parent_pages)) {
        delta_->moved = &indexed->pages;
        if (may_name_pages(*options_.parent, options_.block_bytes)) delta_->pieces = &indexed->pieces;
      }
      catalog_.parent = ParentRef{options_.parent->digest(), options_.parent_hint};
    }
    if (options_.dedup) {
      header_.copy_window = static_cast<std::uint32_t>(format::kMaxCopyWindowBytes >> header_.block_log2);
      dedup_.emplace(header_.copy_window, header_.block_pages());
    }
    pipeline_.emplace(header_, options_.codec, options_.level, options_.threads, dedup_, delta(),
                      [this](Job& job) { return commit(job); });
    filler_.emplace(*pipeline_, header_, delta());
  }
  ~WriterImpl() override {
    pipeline_.reset();
    if (spool_fd_ >= 0) ::close(spool_fd_);
  }
  WriterImpl(const WriterImpl&) = delete;
  WriterImpl& operator=(const WriterImpl&) = delete;

  Result<void> start() { return pipeline_->start(); }

  Result<void> set_metadata(std::string_view key, std::string_view value) override {
    return sticky([&]() -> Result<void> {
      if (open_ || finished_) return invalid("metadata inside a region or after the end");
      if (const char* fault = metadata_fault(key, value)) return invalid(fault);
      const auto old = catalog_.metadata.find(std::string(key));
      if (old != catalog_.metadata.end() && old->second == value) return {};
      pending_metadata_.insert_or_assign(std::string(key), std::string(value));
      catalog_.metadata.insert_or_assign(std::string(key), std::string(value));
      meta_written_ += sizeof(wire::MetaPair) + key.size() + value.size();
      if (meta_written_ > format::kMaxMetaBytes) return fail(Code::kLimit, "too much metadata");
      return {};
    });
  }

  Result<void> set_working_set(std::span<const TouchedRange> ranges) override {
    return sticky([&]() -> Result<void> {
      if (open_ || finished_) return invalid("a working set inside a region or after the end");
      working_set_.assign(ranges.begin(), ranges.end());
      return {};
    });
  }

  Result<void> begin_region(const RegionInfo& info, PageOrder order) override {
    return sticky([&]() -> Result<void> {
      if (open_ || finished_) return invalid("a region inside a region or after the end");
      if (catalog_.regions.size() == format::kMaxRegions) return fail(Code::kLimit, "too many regions");
      if (const char* fault = region_fault(info)) return invalid(fault);
      if (!names_.emplace(info.kind, info.name).second) return invalid("two regions of one name");
      SNAP_TRY(write_front());
      catalog_.regions.push_back({info, info.size, {}});
      SNAP_TRY(log_.write(wire::kRegion, region(), 0, 0, encode_region(info, info.size)));
      if (delta_) delta_->link.add_region(info, info.size);
      const auto write_node = [this](unsigned level, std::uint64_t number, IndexNode& node) {
        return log_.write(wire::kNode, region(), level, number, node.encode());
      };
      IndexBuilder::AbsentDigest absent;
      if (delta_) absent = [this](unsigned height, std::uint64_t number) { return delta_->link.range_digest(region(), height, number); };
      index_.emplace(header_.block_log2 - format::kPageLog2, write_node, absent);
      open_ = true;
      order_ = order;
      complete_ = false;
      block_records_ = 0;
      filler_->start(region());
      if (order_ == PageOrder::kAnyOrder) SNAP_TRY(open_spool());
      return {};
    });
  }

  Result<void> write(std::span<const std::byte> bytes) override {
    return sticky([&]() -> Result<void> {
      SNAP_TRY(expect(PageOrder::kAscending, bytes.size()));
      return filler_->bytes(bytes);
    });
  }

  Result<void> skip(std::uint64_t bytes) override {
    return sticky([&]() -> Result<void> {
      SNAP_TRY(expect(PageOrder::kAscending, bytes));
      return filler_->zeros(bytes);
    });
  }

  Result<void> write_from(RandomSource& source, std::uint64_t offset, std::uint64_t length) override {
    return sticky([&]() -> Result<void> {
      SNAP_TRY(expect(PageOrder::kAscending, length));
      return filler_->source(source, offset, length);
    });
  }

  Result<void> write_rest(ByteSource& source) override {
    return sticky([&]() -> Result<void> {
      SNAP_TRY(expect(PageOrder::kAscending, 0));
      complete_ = true;
      return filler_->rest(source, limit() - filler_->position());
    });
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return sticky([&]() -> Result<void> {
      if (!open_ || order_ != PageOrder::kAnyOrder) return invalid("bytes out of order for a region written in order");
      if (offset > limit() || bytes.size() > limit() - offset) return invalid("more bytes than the region has", offset);
      SNAP_TRY(snap::write_at(spool_fd_, bytes, offset));
      spooled_ = std::max(spooled_, offset + bytes.size());
      filler_->count_taken(bytes.size());
      return {};
    });
  }

  Result<void> end_region() override {
    return sticky([&]() -> Result<void> {
      if (!open_) return invalid("no region is open");
      if (order_ == PageOrder::kAnyOrder) SNAP_TRY(take_spool());
      SNAP_TRY(filler_->finish());
      return close_region();
    });
  }

  Result<Digest> finish() override {
    Digest digest;
    auto done = sticky([&]() -> Result<void> {
      if (open_ || finished_) return invalid("the end inside a region or after the end");
      SNAP_TRY(write_front());
      if (const char* fault = working_set_fault(working_set_, catalog_.regions)) return invalid(fault);
      if (!working_set_.empty()) SNAP_TRY(log_.write(wire::kWorkingSet, 0, 0, 0, encode_working_set(working_set_)));
      catalog_.digest = snapshot_digest(catalog_.regions);
      digest = catalog_.digest;
      SNAP_TRY(log_.write(wire::kSeal, 0, 0, 0, encode_seal(static_cast<std::uint32_t>(catalog_.regions.size()), digest)));
      const Bytes body = encode_catalog(catalog_);
      if (body.size() > format::kMaxCatalogBody) return fail(Code::kLimit, "the catalog is too large");
      SNAP_TRY_ASSIGN(catalog, log_.write(wire::kCatalog, 0, 0, 0, body));
      finished_ = true;
      return log_.put(encode_trailer({log_.offset() + kTrailerBytes, catalog, header_.check, log_.records()}));
    });
    if (!done) return done.error();
    return digest;
  }

  std::uint64_t taken_bytes() const override { return filler_->taken_bytes(); }
  std::uint64_t written_bytes() const override { return log_.written_bytes(); }

 private:
  template <typename Call>
  Result<void> sticky(Call call) {
    if (error_.code != Code::kOk) return error_;
    Result<void> result;
    try {
      result = call();
    } catch (const std::bad_alloc&) {
      result = fail(Code::kNoMemory, "out of memory");
    }
    if (result) return result;
    error_ = result.error();
    // Nobody reads from a source, or writes to the sink, any more when the caller learns of it.
    static_cast<void>(pipeline_->drain());
    return result;
  }

  std::uint16_t region() const { return static_cast<std::uint16_t>(catalog_.regions.size() - 1); }
  CatalogRegion& current() { return catalog_.regions.back(); }

  std::uint64_t limit() { return std::min(current().info.size, format::kMaxRegionBytes); }

  Result<void> expect(PageOrder order, std::uint64_t bytes) {
    if (!open_ || order_ != order) return invalid("bytes outside a region, or in order for one written in any order");
    if (complete_) return invalid("bytes behind the rest of a region");
    if (bytes > limit() - filler_->position()) return invalid("more bytes than the region has", filler_->position());
    return {};
  }

  const Delta* delta() const { return delta_ ? &*delta_ : nullptr; }

  // Header and metadata go out as late as possible, so that what is known before the first region stands in front of it.
  Result<void> write_front() {
    if (log_.offset() == 0) {
      SNAP_TRY(log_.begin());
      if (catalog_.parent) SNAP_TRY(log_.write(wire::kParent, 0, 0, 0, encode_parent(*catalog_.parent)));
    }
    if (pending_metadata_.empty()) return {};
    const Metadata metadata = std::move(pending_metadata_);
    pending_metadata_.clear();
    SNAP_TRY(log_.write(wire::kMeta, 0, 0, 0, encode_metadata(metadata)));
    return {};
  }

  // Runs on one thread at a time, in job order; nothing else writes while jobs are under way.
  Result<void> commit(Job& job) {
    std::uint64_t at = log_.offset();
    for (Job::Block& block : job.blocks()) {
      if (!block.present) continue;
      // A node's range begins at a job's first block, so nodes come between jobs only.
      if (at == log_.offset()) {
        SNAP_TRY(index_->advance_to(block.record.number));
        at = log_.offset();
      }
      log_.seal(block.record, at, job.record_bytes(block).data());
      index_->add(block.record.number, {ref_to(block.record), block.digest});
      at += block.record.record_bytes();
      ++block_records_;
    }
    return job.out().empty() ? Result<void>() : log_.put(job.out());
  }

  Result<void> close_region() {
    CatalogRegion& region = current();
    const std::uint64_t end = filler_->position();
    if (region.info.size == kUnknownSize) region.info.size = end;
    if (end != region.info.size) return invalid("fewer bytes than the region has", end);
    if (const char* fault = closed_region_fault(region.info)) return invalid(fault);
    const std::uint64_t blocks = block_count(region.info.size, header_.block_log2);
    if (delta_) delta_->link.set_size(this->region(), region.info.size);
    SNAP_TRY_ASSIGN(root, index_->finish(blocks));
    SNAP_TRY_ASSIGN(tree, tree_digest_of(root, blocks));
    region.close = {root ? root->record : RecordRef{}, block_records_, region_digest(region.info, tree)};
    open_ = false;
    SNAP_TRY(log_.write(wire::kClose, this->region(), 0, region.info.size, encode_close(region.close)));
    return {};
  }

  Result<Digest> tree_digest_of(const std::optional<IndexEntry>& root, std::uint64_t blocks) {
    if (root) return region_tree_digest(root->digest, index_->root_height(blocks));
    if (delta_) return delta_->link.range_digest(region(), format::kDigestTreeHeight, 0);
    return zero_digest(format::kDigestTreeHeight);
  }

  Result<void> open_spool() {
    if (spool_fd_ < 0) {
      SNAP_TRY_ASSIGN(fd, anonymous_file(options_.spool_dir_fd));
      spool_fd_ = fd;
    }
    if (::ftruncate(spool_fd_, 0) != 0) return io_error("cannot empty the spool file");
    spooled_ = 0;
    return {};
  }

  // The region in order, from the spool.
  Result<void> take_spool() {
    const std::uint64_t size = current().info.size != kUnknownSize ? current().info.size : spooled_;
    if (::ftruncate(spool_fd_, static_cast<off_t>(size)) != 0) return io_error("cannot extend the spool file");
    spool_.emplace(spool_fd_);
    SNAP_TRY(filler_->source(*spool_, 0, size));
    filler_->forget_taken(size);
    return filler_->finish();
  }

  WriterOptions options_;
  Header header_;
  RecordLog log_;
  std::optional<DedupTable> dedup_;
  std::optional<Delta> delta_;
  std::optional<Pipeline> pipeline_;
  std::optional<Filler> filler_;
  Catalog catalog_;
  std::set<std::pair<RegionKind, std::string>> names_;
  Metadata pending_metadata_;
  std::vector<TouchedRange> working_set_;
  std::uint64_t meta_written_ = 0;
  Error error_;
  bool finished_ = false;

  // The open region.
  bool open_ = false;
  PageOrder order_ = PageOrder::kAscending;
  bool complete_ = false;  // nothing but its end may come
  std::uint64_t block_records_ = 0;
  std::optional<IndexBuilder> index_;
  int spool_fd_ = -1;
  std::uint64_t spooled_ = 0;  // the furthest that was written
  std::optional<PosixSource> spool_;
};

}  // namespace

Result<std::unique_ptr<Writer>> Writer::create(ByteSink& sink, const WriterOptions& options) {
  if (!std::has_single_bit(options.block_bytes) || options.block_bytes < 1u << format::kMinBlockLog2 ||
      options.block_bytes > 1u << format::kMaxBlockLog2) {
    return invalid("the block size is not a power of two from 16 KiB to 4 MiB", options.block_bytes);
  }
  if (options.parent != nullptr && options.parent->depth() >= format::kMaxParents) return fail(Code::kLimit, "a chain of more parents than there may be");
  if (const char* fault = hint_fault(options.parent_hint)) return invalid(fault);
  const auto* indexed = dynamic_cast<const IndexedPages*>(options.parent_pages);
  if (indexed != nullptr && (options.parent == nullptr || indexed->parent != options.parent->digest())) {
    return invalid("the pages of another parent than the snapshot's");
  }
  auto writer = std::make_unique<WriterImpl>(sink, options);
  SNAP_TRY(writer->start());
  return std::unique_ptr<Writer>(std::move(writer));
}

Result<void> write_state(Writer& writer, std::string_view name, std::span<const std::byte> bytes) {
  RegionInfo info;
  info.kind = RegionKind::kState;
  info.name = name;
  info.size = bytes.size();
  SNAP_TRY(writer.begin_region(info));
  SNAP_TRY(writer.write(bytes));
  return writer.end_region();
}

}  // namespace snap

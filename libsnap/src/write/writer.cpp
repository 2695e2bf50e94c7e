// SPDX-License-Identifier: Apache-2.0
#include "snap/writer.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>
#include <set>

#include "base/fail.h"
#include "codec/checksum.h"
#include "image/catalog.h"
#include "image/index.h"
#include "io/file.h"
#include "write/pipeline.h"

namespace snap {

namespace {

class WriterImpl final : public Writer {
 public:
  WriterImpl(ByteSink& sink, const WriterOptions& options) : sink_(sink), options_(options) {
    if (options_.level == WriterOptions::kDefaultLevel) options_.level = default_level(options_.codec);
    header_.block_log2 = static_cast<unsigned>(std::countr_zero(options_.block_bytes));
    if (options_.dedup) {
      header_.copy_window = static_cast<std::uint32_t>(format::kMaxCopyWindowBytes >> header_.block_log2);
      dedup_.emplace(header_.copy_window, header_.block_pages());
    }
    pipeline_.emplace(header_, options_.codec, options_.level, options_.threads, dedup_, [this](Job& job) { return commit(job); });
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

  Result<void> begin_region(const RegionInfo& info, PageOrder order) override {
    return sticky([&]() -> Result<void> {
      if (open_ || finished_) return invalid("a region inside a region or after the end");
      if (catalog_.regions.size() == format::kMaxRegions) return fail(Code::kLimit, "too many regions");
      if (const char* fault = region_fault(info)) return invalid(fault);
      if (!names_.emplace(info.kind, info.name).second) return invalid("two regions of one name");
      SNAP_TRY(write_front());
      catalog_.regions.push_back({info, info.size, {}});
      SNAP_TRY(write_record(wire::kRegion, region(), 0, 0, encode_region(info, info.size)));
      index_.emplace(header_.block_log2 - format::kPageLog2, [this](unsigned level, std::uint64_t number, IndexNode& node) {
        return write_record(wire::kNode, region(), level, number, node.encode());
      });
      open_ = true;
      order_ = order;
      position_ = 0;
      block_records_ = 0;
      if (order_ == PageOrder::kAnyOrder) SNAP_TRY(open_spool());
      return {};
    });
  }

  Result<void> write(std::span<const std::byte> bytes) override {
    return sticky([&]() -> Result<void> {
      SNAP_TRY(expect(PageOrder::kAscending, bytes.size()));
      return append_bytes(bytes);
    });
  }

  Result<void> skip(std::uint64_t bytes) override {
    return sticky([&]() -> Result<void> {
      SNAP_TRY(expect(PageOrder::kAscending, bytes));
      return append_zeros(bytes);
    });
  }

  Result<void> write_from(RandomSource& source, std::uint64_t offset, std::uint64_t length) override {
    return sticky([&]() -> Result<void> {
      SNAP_TRY(expect(PageOrder::kAscending, length));
      return append_source(source, offset, length);
    });
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return sticky([&]() -> Result<void> {
      if (!open_ || order_ != PageOrder::kAnyOrder) return invalid("bytes out of order for a region written in order");
      const std::uint64_t limit = std::min(current().info.size, format::kMaxRegionBytes);
      if (offset > limit || bytes.size() > limit - offset) return invalid("more bytes than the region has", offset);
      SNAP_TRY(snap::write_at(spool_fd_, bytes, offset));
      position_ = std::max(position_, offset + bytes.size());
      taken_ += bytes.size();
      return {};
    });
  }

  Result<void> end_region() override {
    return sticky([&]() -> Result<void> {
      if (!open_) return invalid("no region is open");
      if (order_ == PageOrder::kAnyOrder) SNAP_TRY(take_spool());
      SNAP_TRY(submit_filled());
      SNAP_TRY(pipeline_->drain());
      return close_region();
    });
  }

  Result<Digest> finish() override {
    Digest digest;
    auto done = sticky([&]() -> Result<void> {
      if (open_ || finished_) return invalid("the end inside a region or after the end");
      SNAP_TRY(write_front());
      catalog_.digest = snapshot_digest(catalog_.regions);
      digest = catalog_.digest;
      SNAP_TRY(write_record(wire::kSeal, 0, 0, 0, encode_seal(static_cast<std::uint32_t>(catalog_.regions.size()), digest)));
      const Bytes body = encode_catalog(catalog_);
      if (body.size() > format::kMaxCatalogBody) return fail(Code::kLimit, "the catalog is too large");
      SNAP_TRY_ASSIGN(catalog, write_record(wire::kCatalog, 0, 0, 0, body));
      finished_ = true;
      return put(encode_trailer({offset_ + kTrailerBytes, catalog, header_.check, records_}));
    });
    if (!done) return done.error();
    return digest;
  }

  std::uint64_t taken_bytes() const override { return taken_; }
  std::uint64_t written_bytes() const override { return written_; }

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

  Result<void> expect(PageOrder order, std::uint64_t bytes) {
    if (!open_ || order_ != order) return invalid("bytes outside a region, or in order for one written in any order");
    const std::uint64_t limit = std::min(current().info.size, format::kMaxRegionBytes);
    if (bytes > limit - position_) return invalid("more bytes than the region has", position_);
    return {};
  }

  // Header and metadata go out as late as possible, so that what is known before the first region stands in front of it.
  Result<void> write_front() {
    if (offset_ == 0) {
      SNAP_TRY(put(encode_header(header_)));
      prior_ = header_.check;
    }
    if (pending_metadata_.empty()) return {};
    const Metadata metadata = std::move(pending_metadata_);
    pending_metadata_.clear();
    SNAP_TRY(write_record(wire::kMeta, 0, 0, 0, encode_metadata(metadata)));
    return {};
  }

  Result<void> put(std::span<const std::byte> bytes) {
    SNAP_TRY(sink_.write(bytes));
    offset_ += bytes.size();
    written_ = offset_;
    return {};
  }

  void seal_head(Record& record, std::uint64_t offset, std::byte* head) {
    record.offset = offset;
    record.prior = prior_;
    encode_head(record, head);
    prior_ = record.head_check;
    ++records_;
  }

  Result<RecordRef> write_record(wire::RecordType type, std::uint16_t region, std::uint32_t aux, std::uint64_t number, const Bytes& body) {
    Record record;
    record.type = type;
    record.region = region;
    record.aux = aux;
    record.number = number;
    record.body_bytes = static_cast<std::uint32_t>(body.size());
    record.body_check = check64(body);
    Bytes bytes(sizeof(wire::RecordHead));
    seal_head(record, offset_, bytes.data());
    append(bytes, body);
    SNAP_TRY(put(bytes));
    return ref_to(record);
  }

  // Runs on one thread at a time, in job order; nothing else writes while jobs are under way.
  Result<void> commit(Job& job) {
    std::uint64_t at = offset_;
    for (Job::Block& block : job.blocks()) {
      if (!block.present) continue;
      // A node's range begins at a job's first block, so nodes come between jobs only.
      if (at == offset_) {
        SNAP_TRY(index_->advance_to(block.record.number));
        at = offset_;
      }
      seal_head(block.record, at, job.record_bytes(block).data());
      index_->add(block.record.number, {ref_to(block.record), block.digest});
      at += block.record.record_bytes();
      ++block_records_;
    }
    return job.out().empty() ? Result<void>() : put(job.out());
  }

  Result<void> close_region() {
    CatalogRegion& region = current();
    if (region.info.size == kUnknownSize) region.info.size = position_;
    if (position_ != region.info.size) return invalid("fewer bytes than the region has", position_);
    if (const char* fault = closed_region_fault(region.info)) return invalid(fault);
    const std::uint64_t blocks = block_count(region.info.size, header_.block_log2);
    SNAP_TRY_ASSIGN(root, index_->finish(blocks));
    const unsigned height = index_->root_height(blocks);
    const Digest tree = root ? region_tree_digest(root->digest, height) : zero_digest(format::kDigestTreeHeight);
    region.close = {root ? root->record : RecordRef{}, block_records_, region_digest(region.info, tree)};
    open_ = false;
    SNAP_TRY(write_record(wire::kClose, this->region(), 0, region.info.size, encode_close(region.close)));
    return {};
  }

  Result<void> need_job() {
    if (filling_ != nullptr) return {};
    SNAP_TRY_ASSIGN(job, pipeline_->acquire());
    filling_ = job;
    filling_->start(region(), position_);
    return {};
  }

  Result<void> submit_filled() {
    if (filling_ == nullptr) return {};
    Job* job = filling_;
    filling_ = nullptr;
    return pipeline_->submit(job);
  }

  std::size_t job_room() const { return filling_->capacity() - filling_->filled(); }

  // Takes `count` bytes; `take(n)` puts the next n of them into the job being filled.
  template <typename Take>
  Result<void> fill(std::uint64_t count, Take take) {
    while (count != 0) {
      SNAP_TRY(need_job());
      const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(count, job_room()));
      SNAP_TRY(take(now));
      position_ += now;
      taken_ += now;
      count -= now;
      if (job_room() == 0) SNAP_TRY(submit_filled());
    }
    return {};
  }

  Result<void> append_bytes(std::span<const std::byte> bytes) {
    return fill(bytes.size(), [&](std::size_t now) -> Result<void> {
      filling_->append(bytes.first(now));
      bytes = bytes.subspan(now);
      return {};
    });
  }

  Result<void> fill_zeros(std::uint64_t count) {
    return fill(count, [&](std::size_t now) -> Result<void> {
      filling_->append_zeros(now);
      return {};
    });
  }

  std::size_t job_capacity() const { return std::max<std::size_t>(kJobBytes, header_.block_bytes()); }

  Result<void> append_zeros(std::uint64_t count) {
    if (filling_ != nullptr) {
      const std::uint64_t now = std::min<std::uint64_t>(count, job_room());
      SNAP_TRY(fill_zeros(now));
      count -= now;
    }
    // Whole jobs of zeros have no records: nothing is to be done for them.
    const std::uint64_t whole = count / job_capacity() * job_capacity();
    position_ += whole;
    taken_ += whole;
    return fill_zeros(count - whole);
  }

  Result<void> append_source(RandomSource& source, std::uint64_t offset, std::uint64_t length) {
    while (length != 0) {
      SNAP_TRY_ASSIGN(data, source.next_data(offset));
      if (const std::uint64_t hole = std::min(length, data > offset ? data - offset : 0); hole != 0) {
        SNAP_TRY(append_zeros(hole));
        offset += hole;
        length -= hole;
        continue;
      }
      SNAP_TRY_ASSIGN(taken, append_from(source, offset, length));
      offset += taken;
      length -= taken;
    }
    return {};
  }

  // One job's worth: read by a worker where the job would hold nothing else, here where it is begun or stays open.
  Result<std::uint64_t> append_from(RandomSource& source, std::uint64_t offset, std::uint64_t length) {
    SNAP_TRY(need_job());
    const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(length, job_room()));
    if (now == filling_->capacity()) {
      Job* job = filling_;
      filling_ = nullptr;
      job->read_from(source, offset, now);
      position_ += now;
      taken_ += now;
      SNAP_TRY(pipeline_->submit(job));
      return std::uint64_t{now};
    }
    const auto read_here = [&](std::size_t bytes) -> Result<void> {
      SNAP_TRY(read_exact(source, offset, filling_->room(bytes), "the input ends before its size"));
      filling_->keep(bytes);
      return {};
    };
    SNAP_TRY(fill(now, read_here));
    return std::uint64_t{now};
  }

  Result<void> open_spool() {
    if (spool_fd_ < 0) {
      SNAP_TRY_ASSIGN(fd, anonymous_file(options_.spool_dir_fd));
      spool_fd_ = fd;
    }
    if (::ftruncate(spool_fd_, 0) != 0) return io_error("cannot empty the spool file");
    return {};
  }

  // The region in order, from the spool.
  Result<void> take_spool() {
    const std::uint64_t size = current().info.size != kUnknownSize ? current().info.size : position_;
    if (::ftruncate(spool_fd_, static_cast<off_t>(size)) != 0) return io_error("cannot extend the spool file");
    const std::uint64_t taken = taken_;
    position_ = 0;
    spool_.emplace(spool_fd_);
    SNAP_TRY(append_source(*spool_, 0, size));
    SNAP_TRY(submit_filled());
    SNAP_TRY(pipeline_->drain());
    taken_ = taken;
    return {};
  }

  ByteSink& sink_;
  WriterOptions options_;
  Header header_;
  std::optional<DedupTable> dedup_;
  std::optional<Pipeline> pipeline_;
  Catalog catalog_;
  std::set<std::pair<RegionKind, std::string>> names_;
  Metadata pending_metadata_;
  std::uint64_t meta_written_ = 0;
  Error error_;
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> written_{0};

  // The file so far.
  std::uint64_t offset_ = 0;
  std::uint64_t prior_ = 0;
  std::uint64_t records_ = 0;
  bool finished_ = false;

  // The open region.
  bool open_ = false;
  PageOrder order_ = PageOrder::kAscending;
  std::uint64_t position_ = 0;
  std::uint64_t block_records_ = 0;
  std::optional<IndexBuilder> index_;
  Job* filling_ = nullptr;
  int spool_fd_ = -1;
  std::optional<PosixSource> spool_;
};

}  // namespace

Result<std::unique_ptr<Writer>> Writer::create(ByteSink& sink, const WriterOptions& options) {
  if (!std::has_single_bit(options.block_bytes) || options.block_bytes < 1u << format::kMinBlockLog2 ||
      options.block_bytes > 1u << format::kMaxBlockLog2) {
    return invalid("the block size is not a power of two from 16 KiB to 4 MiB", options.block_bytes);
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

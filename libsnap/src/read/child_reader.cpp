// SPDX-License-Identifier: Apache-2.0
#include "read/child_reader.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/fail.h"
#include "chain/parent_link.h"
#include "codec/checksum.h"
#include "read/delta_block.h"
#include "read/image_reader.h"
#include "read/opened.h"
#include "read/range_digest.h"

namespace snap {

namespace {

using DeltaPtr = std::shared_ptr<DeltaBlock>;

/// Pages [first, last) of a block that a read covers, and where they go: whole pages.
struct PageSpan {
  std::size_t region = 0;
  std::uint64_t block = 0;
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::span<std::byte> out;
};

class ChildReader final : public ImageReader, public OpenedImage, public PageReader {
 public:
  ChildReader(std::unique_ptr<Image> image, Reader& parent, std::size_t cache_bytes)
      : ImageReader(std::move(image)), link_(parent), memory_(image_->header().block_bytes()), cache_(cache_bytes, image_->header().block_bytes()) {
    for (const CatalogRegion& region : image_->catalog().regions) link_.add_region(region.info, region.announced_size);
  }

  Reader* parent() const override { return &link_.reader(); }
  Image& image() override { return *image_; }
  const ParentLink* link() const override { return &link_; }

  Result<void> read(std::size_t region, std::uint64_t offset, std::span<std::byte> out) override {
    SNAP_TRY(in_region(region, offset, out.size()));
    return read_into(region, offset, out, {});
  }

  // Runs of blocks without a record go to the parent in one piece.
  Result<void> read_into(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) override {
    const unsigned log2 = image_->header().block_log2;
    while (!out.empty()) {
      const std::uint64_t block = offset >> log2;
      SNAP_TRY_ASSIGN(present, image_->next_present(region, block));
      const std::uint64_t end = present == block ? (block + 1) << log2 : present << log2;
      const auto piece = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), end - offset)));
      SNAP_TRY(present == block ? read_block(region, offset, piece, task) : link_.read(region, offset, piece, task));
      offset += piece.size();
      out = out.subspan(piece.size());
    }
    return {};
  }

  Result<bool> in_place(std::size_t region, std::uint64_t offset, std::uint64_t bytes) override {
    const std::uint64_t end = offset + bytes;
    for (std::uint64_t at = offset; at < end;) {
      const std::uint64_t block = at >> image_->header().block_log2;
      SNAP_TRY_ASSIGN(present, image_->next_present(region, block));
      if (present == block) {
        SNAP_TRY_ASSIGN(delta, load(region, block, {}));
        const std::uint64_t first = at % block_bytes() / kPageBytes;
        for (std::uint64_t page = first; page < delta->pages() && (block << image_->header().block_log2) + page * kPageBytes < end; ++page) {
          if (delta->kind(static_cast<std::uint32_t>(page)) == wire::kCopy) return false;
        }
        if (delta->names_pages()) return false;
      }
      at = (present == block ? block + 1 : present) << image_->header().block_log2;
    }
    return link_.in_place(region, offset, bytes);
  }

  Result<void> read_batch(std::span<const RegionRead> batch) override {
    for (const RegionRead& each : batch) SNAP_TRY(in_region(each.region, each.offset, each.out.size()));
    SNAP_TRY_ASSIGN(fetched, fetch_ahead(batch));  // stays here until all is read
    for (const RegionRead& each : batch) SNAP_TRY(read_into(each.region, each.offset, each.out, {}));
    return {};
  }

  Result<Digest> block_digest(std::size_t region, std::uint64_t block) override {
    if (region >= infos_.size() || block >= image_->blocks(region)) return invalid("no such block");
    return range_digest(region, image_->header().block_log2 - format::kPageLog2, block);
  }

  Result<Digest> range_digest(std::size_t region, unsigned height, std::uint64_t number) override {
    if (region >= infos_.size() || height > format::kDigestTreeHeight) return invalid("no such range");
    const auto absent = [&](unsigned h, std::uint64_t n) { return link_.range_digest(region, h, n); };
    const auto content = [&](std::uint64_t offset, std::span<std::byte> out) { return read(region, offset, out); };
    return RangeDigest(*image_, region, absent, content).of(height, number);
  }

  Result<Extent> extent(std::size_t region, std::uint64_t offset, std::uint64_t end) override {
    SNAP_TRY(in_region(region, offset, 1));
    if (end <= offset) return invalid("an extent that ends where it begins", offset);
    end = std::min(end, infos_[region].size);
    SNAP_TRY_ASSIGN(whole, extent_until(region, offset, end));
    // What follows and is of the same kind belongs to it.
    for (std::uint64_t at = offset + whole.length; at < end; at = offset + whole.length) {
      SNAP_TRY_ASSIGN(next, extent_until(region, at, end));
      if (next.data != whole.data) break;
      whole.length += next.length;
    }
    return whole;
  }

  void limit_cache(std::size_t bytes) override { limit(bytes, cache_, memory_); }

  Result<Extent> extent_until(std::size_t region, std::uint64_t offset, std::uint64_t end) override {
    const unsigned log2 = image_->header().block_log2;
    const std::uint64_t block = offset >> log2;
    SNAP_TRY_ASSIGN(present, image_->next_present(region, block));
    if (present == block) return Extent{offset, std::min(end, (block + 1) << log2) - offset, true};
    return link_.extent(region, offset, std::min(end, present << log2));
  }

  Result<void> read_source(CopyRef source, std::span<std::byte> to, const ReadTask& task) override {
    auto lease = image_->scratches().take();
    return copy_page(source, to, task, *lease);
  }

 private:
  // Bytes inside one block that has a record. Pages that are read in part go by way of a page of our own.
  Result<void> read_block(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) {
    std::uint32_t allowance = ReadTask::kAllowance;
    const ReadTask inner{.zeroed = task.zeroed, .allowance = task.allowance != nullptr ? task.allowance : &allowance};
    const std::uint64_t block = offset >> image_->header().block_log2;
    SNAP_TRY_ASSIGN(delta, load(region, block, inner));
    auto lease = image_->scratches().take();
    while (!out.empty()) {
      const std::size_t in_page = static_cast<std::size_t>(offset % kPageBytes);
      const auto page = static_cast<std::uint32_t>((offset % image_->header().block_bytes()) / kPageBytes);
      std::size_t taken = out.size() / kPageBytes * kPageBytes;
      if (in_page != 0 || taken == 0) {
        taken = std::min<std::size_t>(out.size(), kPageBytes - in_page);
        std::array<std::byte, kPageBytes> whole;
        ReadTask apart = inner;
        apart.zeroed = false;
        SNAP_TRY(read_pages(*delta, {region, block, page, page + 1, whole}, apart, *lease));
        std::memcpy(out.data(), whole.data() + in_page, taken);
      } else {
        const auto last = page + static_cast<std::uint32_t>(taken / kPageBytes);
        SNAP_TRY(read_pages(*delta, {region, block, page, last, out.first(taken)}, inner, *lease));
      }
      offset += taken;
      out = out.subspan(taken);
    }
    return {};
  }

  Result<void> read_pages(DeltaBlock& delta, const PageSpan& span, const ReadTask& task, Scratch& scratch) {
    SNAP_TRY_ASSIGN(parent_was_read, read_parent_pages(delta, span, task));
    const bool zeroed = task.zeroed && !parent_was_read;
    for (std::uint32_t page = span.first; page < span.last; ++page) {
      const auto to = span.out.subspan(std::size_t{page - span.first} * kPageBytes, kPageBytes);
      switch (delta.kind(page)) {
        case wire::kSame: break;
        case wire::kZero:
          if (!zeroed) std::memset(to.data(), 0, kPageBytes);
          break;
        case wire::kCopy: SNAP_TRY(copy_page(delta.copy(page), to, task, scratch)); break;
        default: {
          SNAP_TRY_ASSIGN(stored, stored_page(delta, span.region, span.block, page, task, scratch));
          if (delta.kind(page) == wire::kXor) {
            xor_page(to.data(), stored);
          } else {
            std::memcpy(to.data(), stored, kPageBytes);
          }
        }
      }
      const std::uint64_t at = (span.block << image_->header().block_log2) + std::uint64_t{page} * kPageBytes;
      SNAP_TRY(verify_filling(to, at, infos_[span.region].size, delta.record_offset()));
    }
    return {};
  }

  // The parent's pages, from the first that is needed to the last, to where they stand or are XORed.
  Result<bool> read_parent_pages(const DeltaBlock& delta, const PageSpan& span, const ReadTask& task) {
    const auto needed = [&](std::uint32_t page) { return delta.kind(page) == wire::kSame || delta.kind(page) == wire::kXor; };
    std::uint32_t first = span.first;
    while (first < span.last && !needed(first)) ++first;
    std::uint32_t last = span.last;
    while (last > first && !needed(last - 1)) --last;
    if (first == last) return false;
    const std::uint64_t at = (span.block << image_->header().block_log2) + std::uint64_t{first} * kPageBytes;
    const auto out = span.out.subspan(std::size_t{first - span.first} * kPageBytes, std::size_t{last - first} * kPageBytes);
    SNAP_TRY(link_.read(span.region, at, out, task));
    return true;
  }

  Result<const std::byte*> stored_page(DeltaBlock& delta, std::size_t region, std::uint64_t block, std::uint32_t page, const ReadTask& task,
                                       Scratch& scratch) {
    return delta.stored(page, scratch, [&](std::span<const std::uint64_t> named, std::span<std::byte> out) {
      return link_.read_dictionary(region, block << image_->header().block_log2, named, {}, out, {.zeroed = true, .allowance = task.allowance});
    });
  }

  Result<void> copy_page(CopyRef source, std::span<std::byte> to, const ReadTask& task, Scratch& scratch) {
    ReadTask apart = task;
    apart.zeroed = false;
    if (source.of_parent) return link_.read_page(source.page, to, apart);
    const std::uint32_t block_pages = image_->header().block_pages();
    const std::uint64_t block = source.page.page / block_pages;
    const auto page = static_cast<std::uint32_t>(source.page.page % block_pages);
    if (source.page.region >= infos_.size() || block >= image_->blocks(source.page.region)) {
      return corrupt(0, "a copy of a page outside its region", source.page.page);
    }
    SNAP_TRY_ASSIGN(delta, load(source.page.region, block, apart));
    if (!delta->raw(page)) return corrupt(0, "a copy of a page that is not raw", source.page.page);
    SNAP_TRY_ASSIGN(stored, stored_page(*delta, source.page.region, block, page, apart, scratch));
    std::memcpy(to.data(), stored, kPageBytes);
    return {};
  }

  Result<DeltaPtr> load(std::size_t region, std::uint64_t block, const ReadTask& task) {
    if (DeltaPtr cached = cache_.peek(key(region, block))) return cached;
    SNAP_TRY(task.may_decode());
    task.spend_block();
    return cache_.get(key(region, block), [&]() -> Result<DeltaPtr> {
      SNAP_TRY_ASSIGN(entry, image_->find(region, block));
      if (!entry) return corrupt(0, "a copy of a page in a block without a record", block);
      auto lease = image_->scratches().take();
      Record record;
      SNAP_TRY_ASSIGN(view, image_->fetch(entry->record, region, block, *lease, record));
      return std::make_shared<DeltaBlock>(record, view, memory_);
    });
  }

  // The records of a batch that are not here yet, as many as are kept at once, in one submission to the source.
  Result<std::vector<DeltaPtr>> fetch_ahead(std::span<const RegionRead> batch) {
    std::vector<Wanted> wanted;
    std::size_t bytes = 0;
    const unsigned log2 = image_->header().block_log2;
    for (const RegionRead& each : batch) {
      if (each.out.empty()) continue;
      for (std::uint64_t block = each.offset >> log2; block <= (each.offset + each.out.size() - 1) >> log2; ++block) {
        if (wanted.size() == kFetchBlocks || bytes >= kFetchBytes) break;
        SNAP_TRY_ASSIGN(entry, image_->find(each.region, block));
        if (!entry || cache_.peek(key(each.region, block)) != nullptr) continue;
        if (entry->record.record_bytes > sizeof(wire::RecordHead) + format::kMaxBodyBytes) continue;  // refused when it is read
        wanted.push_back({entry->record, each.region, block, {}});
        bytes += entry->record.record_bytes;
      }
    }
    std::sort(wanted.begin(), wanted.end(), [](const Wanted& a, const Wanted& b) { return a.ref.offset < b.ref.offset; });
    wanted.erase(std::unique(wanted.begin(), wanted.end(), [](const Wanted& a, const Wanted& b) { return a.ref == b.ref; }), wanted.end());
    std::vector<ReadRequest> requests;
    for (Wanted& each : wanted) {
      each.bytes.resize(each.ref.record_bytes);
      requests.push_back({each.ref.offset, each.bytes, 0});
    }
    std::vector<DeltaPtr> fetched;
    SNAP_TRY(image_->source().read_batch(requests));
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (requests[i].done != requests[i].out.size()) return truncated(requests[i].offset + requests[i].done, "the file became shorter");
      const Wanted& each = wanted[i];
      SNAP_TRY_ASSIGN(delta, cache_.get(key(each.region, each.block), [&]() -> Result<DeltaPtr> {
        Record record;
        SNAP_TRY_ASSIGN(view, image_->view(each.ref, each.region, each.block, each.bytes, record));
        return std::make_shared<DeltaBlock>(record, view, memory_);
      }));
      fetched.push_back(std::move(delta));
    }
    return fetched;
  }

  static constexpr std::size_t kFetchBlocks = 64;
  static constexpr std::size_t kFetchBytes = 8u << 20;
  struct Wanted {
    RecordRef ref;
    std::size_t region = 0;
    std::uint64_t block = 0;
    Bytes bytes;
  };

  ParentLink link_;
  BlockMemory memory_;
  SharedCache<DeltaBlock> cache_;
};

}  // namespace

Result<std::unique_ptr<Reader>> make_child_reader(std::unique_ptr<Image> image, Reader& parent, std::size_t cache_bytes) {
  return std::unique_ptr<Reader>(std::make_unique<ChildReader>(std::move(image), parent, cache_bytes));
}

}  // namespace snap

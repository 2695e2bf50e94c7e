// SPDX-License-Identifier: Apache-2.0
// Guest memory that comes a page at a time, in order mostly, written as regions while it comes. Pages that come after the writer has
// passed their place go to a spool, and the snapshot is corrected afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "snap/import.h"
#include "snap/writer.h"

namespace snap {

/// All RAM of a guest together.
inline constexpr std::uint64_t kMaxRamBytes = std::uint64_t{1} << 43;

/// A set of page numbers; memory only for the parts that have any.
class PageSet {
 public:
  bool has(std::uint64_t page) const {
    const Part* part = part_of(page);
    return part != nullptr && ((*part)[page / 64 % kWords] >> page % 64 & 1) != 0;
  }
  void add(std::uint64_t page);
  void remove(std::uint64_t page);
  /// The first of the set in [begin, end); `end` where there is none.
  std::uint64_t next(std::uint64_t begin, std::uint64_t end) const;

 private:
  static constexpr std::uint64_t kWords = 16;  // a page here and there costs no more than 150 bytes
  using Part = std::array<std::uint64_t, kWords>;
  const Part* part_of(std::uint64_t page) const {
    const std::uint64_t at = page / (64 * kWords);
    return at < parts_.size() ? parts_[at].get() : nullptr;
  }
  std::vector<std::unique_ptr<Part>> parts_;
};

/// The pages that came late, and what is known of them: all, or some bytes where only a delta came. Read from any thread.
class LatePages {
 public:
  explicit LatePages(int spool_dir_fd) : spool_dir_fd_(spool_dir_fd) {}
  ~LatePages();
  LatePages(const LatePages&) = delete;
  LatePages& operator=(const LatePages&) = delete;

  bool empty() const { return empty_; }
  /// The first late page of [begin, end); `end` where there is none.
  std::uint64_t next(std::size_t block, std::uint64_t begin, std::uint64_t end) const {
    return block < blocks_.size() ? blocks_[block].late.next(begin, end) : end;
  }

  /// `first`: where the block's bytes begin when all blocks stand one behind the other.
  void add_block(std::uint64_t first) { blocks_.push_back({first, {}, {}, {}}); }
  Result<void> put(std::size_t block, std::uint64_t page, std::span<const std::byte> bytes);
  /// An XBZRLE delta over what was known of the page, or over a page that is not at hand. False where it is no legal one.
  Result<bool> put_delta(std::size_t block, std::uint64_t page, std::span<const std::byte> delta);
  /// `bytes`: the page as it was written; becomes what it is.
  Result<void> patch(std::size_t block, std::uint64_t page, std::span<std::byte> bytes) const;

 private:
  struct Block {
    std::uint64_t first = 0;
    PageSet late;
    PageSet zero;    ///< of the late pages those that are zero: they take no room in the spool
    PageSet partly;  ///< of the late pages those of which only some bytes are known
  };
  Result<void> write(std::span<const std::byte> bytes, std::uint64_t offset);
  std::uint64_t page_at(const Block& block, std::uint64_t page) const;
  std::uint64_t mask_at(const Block& block, std::uint64_t page) const;

  int spool_dir_fd_;
  int fd_ = -1;
  bool empty_ = true;
  std::vector<Block> blocks_;
};

/// One thread at a time.
class RamIntake {
 public:
  RamIntake(Writer& writer, int spool_dir_fd) : writer_(writer), late_(std::make_unique<LatePages>(spool_dir_fd)) {}

  /// All blocks before the first page, in the order in which their pages will mostly come; kUnknownSize for the last one only.
  Result<void> add_block(RegionInfo info);
  std::size_t block_count() const { return blocks_.size(); }
  const RegionInfo& block(std::size_t index) const { return blocks_[index].info; }
  /// Whether the page's place is in the block.
  bool holds(std::size_t block, std::uint64_t page) const { return page < blocks_[block].pages; }

  /// The page's content from now on, 4096 bytes; the page is one that the block holds.
  Result<void> page(std::size_t block, std::uint64_t page, std::span<const std::byte> bytes);
  Result<void> zero_page(std::size_t block, std::uint64_t page);
  /// An XBZRLE delta over the page's content. kCorrupt, with `offset`, where it is not legal or the page did not come yet.
  Result<void> delta(std::size_t block, std::uint64_t page, std::span<const std::byte> bytes, std::uint64_t offset);
  bool seen(std::size_t block, std::uint64_t page) const { return blocks_[block].seen.has(page); }
  /// Whether a page that comes now comes late.
  bool is_late(std::size_t block, std::uint64_t page) const { return block < current_ || (block == current_ && page < next_page_) || ended_; }

  /// Ends all regions.
  Result<void> finish();
  /// Null where no page came late. Afterwards this object is used no more.
  std::unique_ptr<LatePages> take_late();

 private:
  struct Block {
    RegionInfo info;
    std::uint64_t pages = 0;
    PageSet seen;
  };
  Result<void> advance_to(std::size_t block);
  Result<void> end_current();

  Writer& writer_;
  std::unique_ptr<LatePages> late_;
  std::vector<Block> blocks_;
  std::uint64_t total_bytes_ = 0;
  std::size_t current_ = 0;
  bool open_ = false;   // the current block's region is begun
  bool ended_ = false;  // all regions are
  std::uint64_t next_page_ = 0;  // of the current block: all below is written
};

/// Corrections that write the snapshot again, memory regions with the late pages in place. Block i is the i-th memory region.
class RamCorrections : public Corrections {
 public:
  explicit RamCorrections(std::unique_ptr<LatePages> late) : late_(std::move(late)) {}
  Result<void> apply(Reader& first, Writer& second, const ImportOptions& options, std::atomic<bool>* reads_failed) override;

 private:
  std::unique_ptr<LatePages> late_;
};

/// Null for no late pages.
Imported corrections_of(std::unique_ptr<LatePages> late);

}  // namespace snap

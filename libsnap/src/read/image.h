// SPDX-License-Identifier: Apache-2.0
// An open snapshot: header, catalog, index, and the way from a block's place to its checked and decoded pages.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "chain/parent_link.h"
#include "codec/codec.h"
#include "image/block.h"
#include "image/catalog.h"
#include "image/index.h"
#include "io/file.h"
#include "read/shared_cache.h"
#include "snap/reader.h"

namespace snap {

/// What a thread needs to decode blocks; taken from a pool.
struct Scratch {
  Bytes record;
  Bytes payload;
  Bytes dictionary;
  Decompressor decompressor;
};

class ScratchPool {
 public:
  class Lease {
   public:
    Lease(ScratchPool& pool, std::unique_ptr<Scratch> scratch) : pool_(pool), scratch_(std::move(scratch)) {}
    ~Lease() { pool_.give_back(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch& operator*() { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };
  Lease take();

 private:
  void give_back(std::unique_ptr<Scratch> scratch);
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

/// A page that is a copy of a page of another block, or of the parent.
struct PendingCopy {
  std::uint32_t page = 0;  // in its block
  CopyRef source;
};

/// What stands where a block is decoded to.
enum class Target {
  kAnything,
  kZeros,
  kParent,  ///< the parent's pages at this place: a must for blocks that need the parent
};

inline Target target_of(const BlockView& view) { return view.needs_parent() ? Target::kParent : Target::kAnything; }

/// Decodes a block's stored pages and its copies of its own pages into `out`, view.pages() * 4096 bytes. Copies of other blocks'
/// pages and of the parent's are appended to `pending` and their bytes left alone. `link` gives the pages that a dictionary names;
/// `task` says what they may cost.
Result<void> decode_block(const Record& record, const BlockView& view, const Header& header, std::span<std::byte> out, Target target,
                          Scratch& scratch, std::vector<PendingCopy>& pending, const ParentLink* link = nullptr, const ReadTask& task = {});
/// The numbers of the pages that a block's dictionary names.
std::vector<std::uint64_t> named_pages(const BlockView& view);

/// The bytes of a region's last page past the region's size are zero: the bytes of a block, whose place in the region `offset`
/// is, are looked at where they hold that page. `at`: the record to blame.
Result<void> verify_filling(std::span<const std::byte> block, std::uint64_t offset, std::uint64_t region_bytes, std::uint64_t at);

class Image {
 public:
  static Result<std::unique_ptr<Image>> open(RandomSource& source, std::size_t node_cache_bytes);

  RandomSource& source() const { return source_; }
  const Header& header() const { return header_; }
  const Catalog& catalog() const { return catalog_; }
  std::uint64_t file_bytes() const { return trailer_.file_bytes; }
  const Trailer& trailer() const { return trailer_; }
  std::uint64_t blocks(std::size_t region) const { return block_count(size(region), header_.block_log2); }
  std::uint64_t size(std::size_t region) const { return catalog_.regions[region].info.size; }
  /// Pages of a block that its region has.
  std::uint32_t pages_of(std::size_t region, std::uint64_t block) const;

  /// The index entry of the child `number` of level `level`, a block's at level 0; nothing where it has no record, or where the
  /// index has no such level.
  Result<std::optional<IndexEntry>> find_at(std::size_t region, unsigned level, std::uint64_t number);
  /// The index entry of a block; nothing where it has no record.
  Result<std::optional<IndexEntry>> find(std::size_t region, std::uint64_t block);
  /// The first block >= `block` that has a record; blocks(region) where none does.
  Result<std::uint64_t> next_present(std::size_t region, std::uint64_t block);

  /// Checks a block record that an index entry names and that was read into `bytes`.
  Result<BlockView> view(const RecordRef& ref, std::size_t region, std::uint64_t block, std::span<const std::byte> bytes, Record& record) const;
  /// Reads the record into scratch and does the same.
  Result<BlockView> fetch(const RecordRef& ref, std::size_t region, std::uint64_t block, Scratch& scratch, Record& record) const;

  ScratchPool& scratches() { return scratches_; }
  /// Of nodes that are kept.
  void limit_nodes(std::size_t bytes) { nodes_.set_limit(bytes); }

 private:
  using Node = std::shared_ptr<IndexNode>;
  Image(RandomSource& source, std::size_t node_cache_bytes) : source_(source), nodes_(node_cache_bytes, 16 * 1024) {}
  Result<void> load_front();
  Result<void> load_catalog();
  /// The node of a level over a block; null where it has no record.
  Result<Node> node(std::size_t region, unsigned level, std::uint64_t number);
  Result<Node> load_node(std::size_t region, unsigned level, std::uint64_t number, const RecordRef& ref);

  RandomSource& source_;
  Header header_;
  Trailer trailer_;
  Catalog catalog_;
  SharedCache<IndexNode> nodes_;
  ScratchPool scratches_;
};

}  // namespace snap

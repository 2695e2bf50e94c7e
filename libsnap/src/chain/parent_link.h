// SPDX-License-Identifier: Apache-2.0
// The parent as its child sees it: the child's regions matched with the parent's, and what lies past either's end is zero. SPEC 12.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "chain/page_reader.h"
#include "image/block.h"
#include "snap/reader.h"

namespace snap {

/// Any thread may call the const methods.
class ParentLink {
 public:
  /// The reader must outlive the link.
  explicit ParentLink(Reader& parent) : parent_(parent), pages_(dynamic_cast<PageReader*>(&parent)) {}

  Reader& reader() const { return parent_; }

  /// Refuses a parent other than the one that a child of this depth names.
  static Result<void> verify(const Reader& parent, const ParentRef& wanted, unsigned child_depth);

  /// A child's region of this kind and name: finds its counterpart. Regions are added in the child's order. `announced` is the size
  /// that its REGION record says: what the child sees of the parent ends there.
  void add_region(const RegionInfo& info, std::uint64_t announced);
  /// The size that the region came to have: digests are of so much. Known before range_digest() is asked for.
  void set_size(std::size_t region, std::uint64_t size) { views_[region].size = size; }

  /// The parent's region behind the child's.
  std::optional<std::size_t> counterpart(std::size_t region) const { return views_[region].region; }
  std::size_t region_count() const { return views_.size(); }
  /// How many bytes of the counterpart the child sees.
  std::uint64_t counterpart_bytes(std::size_t region) const { return views_[region].bytes(); }
  /// The parent's bytes at a place of the child's region, in whole pages: also past the child's end.
  Result<void> read(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) const;
  /// The same bytes where the parent holds them decoded: all of them, or nothing.
  std::span<const std::byte> held(std::size_t region, std::uint64_t offset, std::size_t bytes) const;
  /// Any page of the parent, 4096 bytes; refused where its region does not have it.
  Result<void> read_page(PageRef page, std::span<std::byte> out, const ReadTask& task) const;
  /// The dictionary of a block of codec 3: view.dictionary_bytes() in `out`. `own`: the parent's pages at the block's place where
  /// they are at hand, else they are read.
  Result<void> read_dictionary(std::size_t region, std::uint64_t offset, std::span<const std::uint64_t> named, std::span<const std::byte> own,
                               std::span<std::byte> out, const ReadTask& task) const;
  /// Whether the bytes from `offset` of the child's region on are zero in the parent, and how far that goes, up to `end`. Blocks are
  /// looked at.
  Result<Extent> extent(std::size_t region, std::uint64_t offset, std::uint64_t end) const;
  /// Whether the parent's bytes there lie in place, so that they may be a dictionary.
  Result<bool> in_place(std::size_t region, std::uint64_t offset, std::uint64_t bytes) const;
  /// The digest of 2^height of the parent's pages from number << height on, as the child sees them.
  Result<Digest> range_digest(std::size_t region, unsigned height, std::uint64_t number) const;

 private:
  struct View {
    std::optional<std::size_t> region;  // of the parent
    std::uint64_t parent_size = 0;
    std::uint64_t announced = kUnknownSize;
    std::uint64_t size = kUnknownSize;
    std::uint64_t bytes() const { return std::min(parent_size, announced); }
  };
  Result<void> read_raw(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) const;

  Reader& parent_;
  PageReader* pages_;
  std::vector<View> views_;
};

}  // namespace snap

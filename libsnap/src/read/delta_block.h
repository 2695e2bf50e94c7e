// SPDX-License-Identifier: Apache-2.0
// A block of a child as the cache holds it: which page is what, and, once one is asked for, the pages it stores.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "read/cached_block.h"
#include "read/image.h"

namespace snap {

/// All methods from any thread.
class DeltaBlock {
 public:
  /// Keeps what it needs of the checked record. `memory` is for what it decodes.
  DeltaBlock(const Record& record, const BlockView& view, BlockMemory& memory);

  std::uint32_t pages() const { return static_cast<std::uint32_t>(places_.size()); }
  wire::PageKind kind(std::uint32_t page) const { return places_[page].kind; }
  bool raw(std::uint64_t page) const { return page < places_.size() && places_[page].kind == wire::kRaw; }
  /// Of a page that is a copy.
  CopyRef copy(std::uint32_t page) const { return copies_[places_[page].index]; }
  /// Its dictionary has pages of other places.
  bool names_pages() const { return !named_.empty(); }
  std::uint64_t record_offset() const { return record_offset_; }
  std::size_t memory_bytes() const;

  /// The bytes stored for a page: it, or its XOR with the parent's. The first call decodes them all; `dictionary` fills a buffer
  /// with the codec's dictionary where it has one: ParentLink::read_dictionary().
  using Dictionary = std::function<Result<void>(std::span<const std::uint64_t> named, std::span<std::byte> out)>;
  Result<const std::byte*> stored(std::uint32_t page, Scratch& scratch, const Dictionary& dictionary);

 private:
  struct Place {
    wire::PageKind kind = wire::kZero;
    std::uint32_t index = 0;  // among the stored pages, or among the copies
  };
  std::vector<Place> places_;
  std::vector<CopyRef> copies_;
  std::vector<std::uint64_t> named_;
  std::uint64_t record_offset_;
  std::uint64_t number_;
  Codec codec_;
  bool over_parent_;
  std::size_t stored_bytes_;  // decoded

  std::mutex mutex_;
  BlockMemory& memory_;
  Bytes payload_;  // as in the file, until it is decoded
  BlockBytes decoded_;
};

}  // namespace snap

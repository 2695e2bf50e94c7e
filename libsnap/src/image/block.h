// SPDX-License-Identifier: Apache-2.0
// The body of a BLOCK record: page map, copies, payload. SPEC 7.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "format/limits.h"
#include "image/header.h"
#include "image/record.h"
#include "snap/model.h"

namespace snap {

/// A page of a region.
struct PageRef {
  std::uint16_t region = 0;
  std::uint64_t page = 0;
  friend auto operator<=>(const PageRef&, const PageRef&) = default;
};

/// What a page of kind 4 is a copy of: a page of this file, or of the parent with the parent's region numbers.
struct CopyRef {
  PageRef page;
  bool of_parent = false;
};

inline constexpr std::uint64_t encode_page(PageRef ref) { return ref.page | std::uint64_t{ref.region} << 40; }
inline constexpr PageRef decode_page(std::uint64_t bits) {
  return {static_cast<std::uint16_t>(bits >> 40), bits & format::kMaxPageNumber};
}
inline constexpr std::uint64_t encode_copy(CopyRef ref) { return encode_page(ref.page) | std::uint64_t{ref.of_parent} << 63; }
inline constexpr CopyRef decode_copy(std::uint64_t bits) { return {decode_page(bits & ~(std::uint64_t{1} << 63)), bits >> 63 != 0}; }

/// A checked BLOCK body; refers to the body's bytes.
class BlockView {
 public:
  std::uint32_t pages() const { return pages_; }
  wire::PageKind kind(std::uint32_t page) const {
    const unsigned byte = std::to_integer<unsigned>(map_[page / 2]);
    return static_cast<wire::PageKind>(page % 2 == 0 ? byte & 15 : byte >> 4);
  }
  /// Pages that the payload holds: raw ones and XORs.
  std::uint32_t stored_pages() const { return stored_pages_; }
  static bool is_stored(wire::PageKind kind) { return kind == wire::kRaw || kind == wire::kXor; }
  /// Some page is the same as the parent's, or a XOR with it, or the parent is the payload's dictionary.
  bool needs_parent() const { return needs_parent_; }
  bool over_parent() const { return over_parent_; }
  /// Pages of the parent that stand in the dictionary before those of the block's own place.
  std::uint32_t named_count() const { return static_cast<std::uint32_t>(named_.size() / sizeof(wire::Le40)); }
  std::uint64_t named(std::uint32_t i) const {
    wire::Le40 number;
    std::memcpy(&number, named_.data() + i * sizeof number, sizeof number);
    return number.value();
  }
  std::size_t dictionary_bytes() const { return (std::size_t{pages_} + named_count()) * format::kPageBytes; }
  std::uint32_t copy_count() const { return static_cast<std::uint32_t>(copies_.size() / sizeof(wire::le64)); }
  /// The i-th copy's source.
  CopyRef copy(std::uint32_t i) const;
  std::size_t payload_bytes() const { return std::size_t{stored_pages_} * format::kPageBytes; }
  std::span<const std::byte> payload() const { return payload_; }
  Codec codec() const { return codec_; }
  /// The one other block of this file that copies name, as (region, block); nothing where there is none.
  const std::optional<PageRef>& source_block() const { return source_block_; }

 private:
  friend Result<BlockView> parse_block(const Record&, std::span<const std::byte>, const Header&);
  Result<void> parse_named(const Record& record, ByteReader& reader, const Header& header);
  std::uint32_t pages_ = 0;
  std::uint32_t stored_pages_ = 0;
  bool needs_parent_ = false;
  bool over_parent_ = false;
  Codec codec_ = Codec::kStore;
  std::span<const std::byte> map_;
  std::span<const std::byte> copies_;
  std::span<const std::byte> named_;
  std::span<const std::byte> payload_;
  std::optional<PageRef> source_block_;
};

/// All that can be told from the block alone; whether a copy's source is raw and in the window is the reader's.
Result<BlockView> parse_block(const Record& record, std::span<const std::byte> body, const Header& header);

inline constexpr std::size_t map_bytes(std::uint32_t pages) { return (pages + 1) / 2; }

}  // namespace snap

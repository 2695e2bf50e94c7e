// SPDX-License-Identifier: Apache-2.0
#include "image/block.h"

#include "base/fail.h"

namespace snap {

namespace {

struct MapCounts {
  std::uint32_t zero = 0;
  std::uint32_t same = 0;
  std::uint32_t raw = 0;
  std::uint32_t xors = 0;
  std::uint32_t copies = 0;
};

Result<MapCounts> count_kinds(std::span<const std::byte> map, std::uint32_t pages, bool child, std::uint64_t offset) {
  MapCounts counts;
  for (std::uint32_t page = 0; page < pages; ++page) {
    const unsigned byte = std::to_integer<unsigned>(map[page / 2]);
    switch (page % 2 == 0 ? byte & 15 : byte >> 4) {
      case wire::kZero: ++counts.zero; break;
      case wire::kSame: ++counts.same; break;
      case wire::kRaw: ++counts.raw; break;
      case wire::kXor: ++counts.xors; break;
      case wire::kCopy: ++counts.copies; break;
      default: return corrupt(offset, "a page kind that is not legal here", page);
    }
  }
  if (pages % 2 != 0 && std::to_integer<unsigned>(map[pages / 2]) >> 4 != 0) return corrupt(offset, "the map's unused half is not zero");
  if (!child && (counts.same != 0 || counts.xors != 0)) return corrupt(offset, "pages of a parent in a file without one");
  if (!child && counts.zero == pages) return corrupt(offset, "a block record without a page that is not zero");
  if (child && counts.same == pages) return corrupt(offset, "a block record without a page that differs from the parent's");
  return counts;
}

Result<void> verify_payload_form(const Record& record, const MapCounts& counts, bool child, std::size_t stored) {
  const std::size_t decoded = (std::size_t{counts.raw} + counts.xors) * format::kPageBytes;
  if (record.codec > (child ? wire::kZstdOverParent : wire::kZstd)) return corrupt(record.offset, "a codec that is not legal", record.codec);
  if (record.codec == wire::kStore && stored != decoded) return corrupt(record.offset, "a stored payload of another length than its pages");
  if (record.codec != wire::kStore && (stored >= decoded || stored == 0)) {
    return corrupt(record.offset, "a compressed payload that is empty or not shorter than its pages");
  }
  if (record.codec == wire::kZstdOverParent && counts.xors != 0) return corrupt(record.offset, "a XOR in a payload over the parent");
  return {};
}

}  // namespace

CopyRef BlockView::copy(std::uint32_t i) const {
  wire::le64 bits;
  std::memcpy(&bits, copies_.data() + std::size_t{i} * sizeof bits, sizeof bits);
  return decode_copy(bits);
}

Result<void> BlockView::parse_named(const Record& record, ByteReader& reader, const Header& header) {
  const auto count = reader.take<wire::le16>();
  if (!count) return corrupt(record.offset, "a block is shorter than its list of dictionary pages");
  if (*count > format::kMaxNamedPages) return corrupt(record.offset, "a dictionary that names too many pages", *count);
  const auto numbers = reader.take_bytes(std::size_t{*count} * sizeof(wire::Le40));
  if (!numbers) return corrupt(record.offset, "a block is shorter than its list of dictionary pages");
  named_ = *numbers;
  const std::uint64_t first = record.number * header.block_pages();
  for (std::uint32_t i = 0; i < named_count(); ++i) {
    if (i != 0 && named(i) <= named(i - 1)) return corrupt(record.offset, "dictionary pages that are not in order", named(i));
    if (named(i) >= first && named(i) - first < pages_) return corrupt(record.offset, "a dictionary that names a page of its own block", named(i));
  }
  return {};
}

Result<BlockView> parse_block(const Record& record, std::span<const std::byte> body, const Header& header) {
  const std::uint32_t pages = record.aux;
  if (pages == 0 || pages > header.block_pages()) return corrupt(record.offset, "a block's page count is not legal", pages);
  if (record.number > (format::kMaxPageNumber >> (header.block_log2 - format::kPageLog2))) {
    return corrupt(record.offset, "a block number is over its limit", record.number);
  }
  ByteReader reader(body);
  const auto map = reader.take_bytes(map_bytes(pages));
  if (!map) return corrupt(record.offset, "a block is shorter than its page map");
  const bool child = header.has_parent();
  SNAP_TRY_ASSIGN(counts, count_kinds(*map, pages, child, record.offset));
  const auto copies = reader.take_bytes(std::uint64_t{counts.copies} * sizeof(wire::le64));
  if (!copies) return corrupt(record.offset, "a block is shorter than its list of copies");

  BlockView view;
  view.pages_ = pages;
  view.stored_pages_ = counts.raw + counts.xors;
  view.map_ = *map;
  view.copies_ = *copies;
  if (child && record.codec == wire::kZstdOverParent) SNAP_TRY(view.parse_named(record, reader, header));
  view.payload_ = reader.rest();
  SNAP_TRY(verify_payload_form(record, counts, child, view.payload_.size()));
  view.over_parent_ = record.codec == wire::kZstdOverParent;
  view.codec_ = view.over_parent_ ? Codec::kZstd : static_cast<Codec>(record.codec);
  view.needs_parent_ = counts.same != 0 || counts.xors != 0 || view.over_parent_;

  const std::uint64_t first_page = record.number << (header.block_log2 - format::kPageLog2);
  for (std::uint32_t page = 0, i = 0; page < pages; ++page) {
    if (view.kind(page) != wire::kCopy) continue;
    wire::le64 bits;
    std::memcpy(&bits, view.copies_.data() + std::size_t{i} * sizeof bits, sizeof bits);
    const std::uint64_t reserved = child ? ~(std::uint64_t{1} << 63) : ~std::uint64_t{0};
    if ((bits & reserved) >> 56 != 0) return corrupt(record.offset, "a copy's reserved bits are not zero", page);
    const auto [source, of_parent] = view.copy(i++);
    if (of_parent) continue;
    if (!(source < PageRef{record.region, first_page + page})) return corrupt(record.offset, "a copy of a page that is not before it", page);
    const PageRef block{source.region, source.page >> (header.block_log2 - format::kPageLog2)};
    if (block == PageRef{record.region, record.number}) {
      if (view.kind(static_cast<std::uint32_t>(source.page - first_page)) != wire::kRaw) {
        return corrupt(record.offset, "a copy of a page that is not raw", page);
      }
    } else if (!view.source_block_) {
      view.source_block_ = block;
    } else if (*view.source_block_ != block) {
      return corrupt(record.offset, "copies from more than one other block", page);
    }
  }
  return view;
}

}  // namespace snap

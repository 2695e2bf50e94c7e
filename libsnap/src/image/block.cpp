// SPDX-License-Identifier: Apache-2.0
#include "image/block.h"

#include "base/fail.h"

namespace snap {

namespace {

struct MapCounts {
  std::uint32_t raw = 0;
  std::uint32_t copies = 0;
};

Result<MapCounts> count_kinds(std::span<const std::byte> map, std::uint32_t pages, std::uint64_t offset) {
  MapCounts counts;
  for (std::uint32_t page = 0; page < pages; ++page) {
    const unsigned byte = std::to_integer<unsigned>(map[page / 2]);
    switch (page % 2 == 0 ? byte & 15 : byte >> 4) {
      case wire::kZero: break;
      case wire::kRaw: ++counts.raw; break;
      case wire::kCopy: ++counts.copies; break;
      default: return corrupt(offset, "a page kind that is not legal here", page);
    }
  }
  if (pages % 2 != 0 && std::to_integer<unsigned>(map[pages / 2]) >> 4 != 0) return corrupt(offset, "the map's unused half is not zero");
  if (counts.raw == 0 && counts.copies == 0) return corrupt(offset, "a block record without a page that is not zero");
  return counts;
}

Result<void> verify_payload_form(const Record& record, std::size_t stored, std::size_t decoded) {
  if (record.codec > wire::kZstd) return corrupt(record.offset, "a codec that is not legal", record.codec);
  if (record.codec == wire::kStore && stored != decoded) return corrupt(record.offset, "a stored payload of another length than its pages");
  if (record.codec != wire::kStore && (stored >= decoded || stored == 0)) {
    return corrupt(record.offset, "a compressed payload that is empty or not shorter than its pages");
  }
  return {};
}

}  // namespace

PageRef BlockView::copy(std::uint32_t i) const {
  wire::le64 bits;
  std::memcpy(&bits, copies_.data() + std::size_t{i} * sizeof bits, sizeof bits);
  const std::uint64_t value = bits;
  return {static_cast<std::uint16_t>(value >> 40), value & format::kMaxPageNumber};
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
  SNAP_TRY_ASSIGN(counts, count_kinds(*map, pages, record.offset));
  const auto copies = reader.take_bytes(std::uint64_t{counts.copies} * sizeof(wire::le64));
  if (!copies) return corrupt(record.offset, "a block is shorter than its list of copies");

  BlockView view;
  view.pages_ = pages;
  view.raw_pages_ = counts.raw;
  view.map_ = *map;
  view.copies_ = *copies;
  view.payload_ = reader.rest();
  SNAP_TRY(verify_payload_form(record, view.payload_.size(), view.payload_bytes()));
  view.codec_ = static_cast<Codec>(record.codec);

  const std::uint64_t first_page = record.number << (header.block_log2 - format::kPageLog2);
  for (std::uint32_t page = 0, i = 0; page < pages; ++page) {
    if (view.kind(page) != wire::kCopy) continue;
    wire::le64 bits;
    std::memcpy(&bits, view.copies_.data() + std::size_t{i} * sizeof bits, sizeof bits);
    if (bits >> 56 != 0) return corrupt(record.offset, "a copy's reserved bits are not zero", page);
    const PageRef source = view.copy(i++);
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

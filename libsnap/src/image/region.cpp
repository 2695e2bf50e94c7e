// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/fail.h"
#include "codec/checksum.h"
#include "format/limits.h"
#include "image/catalog.h"

namespace snap {

std::uint64_t page_count(std::uint64_t bytes) { return ceil_div(bytes, format::kPageBytes); }
std::uint64_t block_count(std::uint64_t bytes, unsigned block_log2) { return ceil_div(bytes, std::uint64_t{1} << block_log2); }

namespace {

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (length == 0 || text.size() - at < length) return false;
    std::uint32_t point = length == 1 ? lead : lead & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
      if (byte(at + i) >> 6 != 2) return false;
      point = point << 6 | (byte(at + i) & 0x3Fu);
    }
    static constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[length] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
    at += length;
  }
  return true;
}

const char* placement_fault(const RegionInfo& info) {
  std::uint64_t least = 0;
  for (const Placement& placement : info.placements) {
    if (placement.length == 0) return "a placement is empty";
    if (placement.offset < least) return "placements overlap or are not in order";
    if (placement.length > format::kMaxRegionBytes || placement.offset > format::kMaxRegionBytes) return "a placement is over its limit";
    if (placement.length - 1 > ~std::uint64_t{0} - placement.guest_address) return "a placement runs past the guest's addresses";
    least = placement.offset + placement.length;
    if (info.size != kUnknownSize && least > info.size) return "a placement runs past its region";
  }
  return nullptr;
}

}  // namespace

const char* region_fault(const RegionInfo& info) {
  const bool memory = info.kind == RegionKind::kMemory;
  if (!memory && info.kind != RegionKind::kState) return "a region's kind is not legal";
  if (info.guest_page_log2 < format::kMinGuestPageLog2 || info.guest_page_log2 > (memory ? format::kMaxGuestPageLog2 : 12)) {
    return "a region's guest page size is not legal";
  }
  if (info.name.empty() || info.name.size() > format::kMaxNameBytes) return "a region's name is empty or too long";
  if (info.name.find('\0') != std::string::npos || !is_utf8(info.name)) return "a region's name is not UTF-8 text";
  if (info.size != kUnknownSize && info.size > format::kMaxRegionBytes) return "a region is over the limit of its size";
  if (info.placements.size() > (memory ? format::kMaxPlacements : 0)) return "a region has too many placements";
  return placement_fault(info);
}

const char* closed_region_fault(const RegionInfo& info) {
  return info.size == kUnknownSize ? "a region without a size" : region_fault(info);
}

Bytes encode_region(const RegionInfo& info, std::uint64_t size_field) {
  wire::RegionBody to{};
  to.kind = static_cast<std::uint8_t>(info.kind);
  to.guest_page_log2 = static_cast<std::uint8_t>(info.guest_page_log2);
  to.name_bytes = static_cast<std::uint16_t>(info.name.size());
  to.placements = static_cast<std::uint32_t>(info.placements.size());
  to.announced_size = size_field;
  Bytes bytes;
  append(bytes, bytes_of(to));
  append(bytes, bytes_of(std::string_view(info.name)));
  for (const Placement& placement : info.placements) {
    append(bytes, bytes_of(wire::Placement{placement.guest_address, placement.offset, placement.length}));
  }
  return bytes;
}

Result<RegionInfo> parse_region(ByteReader& reader, std::uint64_t offset) {
  const auto from = reader.take<wire::RegionBody>();
  if (!from) return corrupt(offset, "a region's description is too short");
  const auto name = reader.take_bytes(from->name_bytes);
  if (!name || from->placements > format::kMaxPlacements) return corrupt(offset, "a region's description is not legal");
  RegionInfo info;
  info.kind = static_cast<RegionKind>(from->kind);
  info.guest_page_log2 = from->guest_page_log2;
  info.name = text_of(*name);
  info.size = from->announced_size;
  for (std::uint32_t i = 0; i < from->placements; ++i) {
    const auto placement = reader.take<wire::Placement>();
    if (!placement) return corrupt(offset, "a region's description is too short");
    info.placements.push_back({placement->guest_address, placement->offset, placement->length});
  }
  if (const char* fault = region_fault(info)) return corrupt(offset, fault);
  return info;
}

Result<RegionInfo> parse_region_body(std::span<const std::byte> body, std::uint64_t offset) {
  ByteReader reader(body);
  SNAP_TRY_ASSIGN(info, parse_region(reader, offset));
  if (!reader.empty()) return corrupt(offset, "bytes after a region's description");
  return info;
}

Digest region_digest(const RegionInfo& info, const Digest& tree) {
  Bytes bytes = encode_region(info, info.size);
  append(bytes, std::as_bytes(std::span(tree.bytes)));
  return digest_of(bytes);
}

Digest snapshot_digest(std::span<const CatalogRegion> regions) {
  Bytes bytes;
  for (const CatalogRegion& region : regions) append(bytes, std::as_bytes(std::span(region.close.digest.bytes)));
  return digest_of(bytes);
}

const char* metadata_fault(std::string_view key, std::string_view value) {
  if (key.empty() || key.size() > format::kMaxMetaKeyBytes) return "a metadata key is empty or too long";
  if (key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/") != std::string_view::npos) return "a metadata key has a character that is not legal";
  if (value.size() > format::kMaxMetaValueBytes) return "a metadata value is too long";
  if (value.find('\0') != std::string_view::npos || !is_utf8(value)) return "a metadata value is not UTF-8 text";
  return nullptr;
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "image/catalog.h"

#include <algorithm>

#include "base/fail.h"
#include "codec/checksum.h"
#include "format/limits.h"

namespace snap {

namespace {

Digest from_wire(const wire::Digest& digest) {
  Digest to;
  std::memcpy(to.bytes.data(), digest.bytes, to.bytes.size());
  return to;
}
wire::Digest to_wire(const Digest& digest) {
  wire::Digest to;
  std::memcpy(to.bytes, digest.bytes.data(), sizeof to.bytes);
  return to;
}

Result<CatalogRegion> parse_catalog_region(ByteReader& reader, std::uint64_t offset, const Header& header) {
  SNAP_TRY_ASSIGN(info, parse_region(reader, offset));
  const auto size = reader.take<wire::le64>();
  const auto close_bytes = reader.take_bytes(sizeof(wire::CloseBody));
  if (!size || !close_bytes) return corrupt(offset, "the catalog is too short");
  SNAP_TRY_ASSIGN(close, parse_close(*close_bytes, offset));
  CatalogRegion region{std::move(info), kUnknownSize, close};
  region.announced_size = region.info.size;
  region.info.size = *size;
  if (region.announced_size != kUnknownSize && region.announced_size != region.info.size) {
    return corrupt(offset, "a region's size is not the one announced");
  }
  if (const char* fault = closed_region_fault(region.info)) return corrupt(offset, fault);
  if (close.block_records > block_count(region.info.size, header.block_log2)) {
    return corrupt(offset, "a region has more block records than blocks");
  }
  if (close.root.record_bytes > offset || close.root.offset > offset - close.root.record_bytes) {
    return corrupt(offset, "a region's index lies outside the file");
  }
  return region;
}

}  // namespace

Bytes encode_close(const RegionClose& close) {
  wire::CloseBody to{};
  to.root_offset = close.root.offset;
  to.root_bytes = close.root.record_bytes;
  to.root_check = close.root.head_check;
  to.block_records = close.block_records;
  to.digest = to_wire(close.digest);
  Bytes bytes;
  append(bytes, bytes_of(to));
  return bytes;
}

Result<RegionClose> parse_close(std::span<const std::byte> body, std::uint64_t offset) {
  if (body.size() != sizeof(wire::CloseBody)) return corrupt(offset, "the end of a region has another length");
  wire::CloseBody from;
  std::memcpy(&from, body.data(), sizeof from);
  RegionClose close{{from.root_offset, from.root_bytes, from.root_check}, from.block_records, from_wire(from.digest)};
  const bool none = close.root == RecordRef{};
  if (none != (close.block_records == 0)) return corrupt(offset, "a region's index and its number of blocks do not fit");
  if (!none && close.root.record_bytes < sizeof(wire::RecordHead)) return corrupt(offset, "a region's index has no legal length");
  return close;
}

std::uint64_t metadata_bytes(const Metadata& metadata) {
  std::uint64_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += sizeof(wire::MetaPair) + key.size() + value.size();
  return bytes;
}

Bytes encode_metadata(const Metadata& metadata) {
  Bytes bytes;
  for (const auto& [key, value] : metadata) {
    append(bytes, bytes_of(wire::MetaPair{static_cast<std::uint16_t>(key.size()), static_cast<std::uint32_t>(value.size())}));
    append(bytes, bytes_of(std::string_view(key)));
    append(bytes, bytes_of(std::string_view(value)));
  }
  return bytes;
}

Result<Metadata> parse_metadata(std::span<const std::byte> bytes, std::uint64_t offset) {
  if (bytes.size() > format::kMaxMetaBytes) return corrupt(offset, "the metadata is over its limit");
  Metadata metadata;
  ByteReader reader(bytes);
  while (!reader.empty()) {
    const auto pair = reader.take<wire::MetaPair>();
    if (!pair) return corrupt(offset, "the metadata ends inside a pair");
    const auto key = reader.take_bytes(pair->key_bytes);
    const auto value = reader.take_bytes(pair->value_bytes);
    if (!key || !value) return corrupt(offset, "the metadata ends inside a pair");
    if (const char* fault = metadata_fault(text_of(*key), text_of(*value))) return corrupt(offset, fault);
    if (!metadata.empty() && metadata.rbegin()->first >= text_of(*key)) return corrupt(offset, "the metadata keys are not in order");
    metadata.emplace_hint(metadata.end(), text_of(*key), text_of(*value));
  }
  return metadata;
}

Bytes encode_seal(std::uint32_t regions, const Digest& digest) {
  Bytes bytes;
  append(bytes, bytes_of(wire::SealBody{regions, to_wire(digest)}));
  return bytes;
}

Result<Seal> parse_seal(std::span<const std::byte> body, std::uint64_t offset) {
  if (body.size() != sizeof(wire::SealBody)) return corrupt(offset, "the seal has another length");
  wire::SealBody from;
  std::memcpy(&from, body.data(), sizeof from);
  return Seal{from.regions, from_wire(from.digest)};
}

Bytes encode_catalog(const Catalog& catalog) {
  const Bytes metadata = encode_metadata(catalog.metadata);
  Bytes bytes;
  append(bytes, bytes_of(wire::CatalogBody{static_cast<std::uint32_t>(catalog.regions.size()),
                                           static_cast<std::uint32_t>(metadata.size()), to_wire(catalog.digest)}));
  for (const CatalogRegion& region : catalog.regions) {
    append(bytes, encode_region(region.info, region.announced_size));
    append(bytes, bytes_of(wire::le64(region.info.size)));
    append(bytes, encode_close(region.close));
  }
  append(bytes, metadata);
  if (catalog.parent) append(bytes, encode_parent(*catalog.parent));
  return bytes;
}

const char* hint_fault(std::string_view hint) {
  if (hint.size() > format::kMaxHintBytes) return "the hint to the parent is too long";
  if (hint == "." || hint == ".." || hint.find('/') != hint.npos || hint.find('\0') != hint.npos) {
    return "the hint to the parent is not a plain file name";
  }
  return nullptr;
}

Bytes encode_parent(const ParentRef& parent) {
  Bytes bytes;
  append(bytes, bytes_of(wire::ParentBody{to_wire(parent.digest), static_cast<std::uint16_t>(parent.hint.size())}));
  append(bytes, bytes_of(std::string_view(parent.hint)));
  return bytes;
}

Result<ParentRef> parse_parent(std::span<const std::byte> body, std::uint64_t offset) {
  ByteReader reader(body);
  const auto from = reader.take<wire::ParentBody>();
  if (!from || reader.rest().size() != from->hint_bytes) return corrupt(offset, "the description of the parent has another length");
  ParentRef parent{from_wire(from->digest), std::string(text_of(reader.rest()))};
  if (const char* fault = hint_fault(parent.hint)) return corrupt(offset, fault);
  return parent;
}

Result<Catalog> parse_catalog(std::span<const std::byte> body, std::uint64_t offset, const Header& header) {
  ByteReader reader(body);
  const auto from = reader.take<wire::CatalogBody>();
  if (!from) return corrupt(offset, "the catalog is too short");
  if (from->regions > format::kMaxRegions) return corrupt(offset, "the catalog has too many regions", from->regions);
  Catalog catalog;
  catalog.digest = from_wire(from->digest);
  std::vector<std::pair<RegionKind, std::string_view>> names;
  catalog.regions.reserve(std::min<std::size_t>(from->regions, body.size() / sizeof(wire::CloseBody)));
  for (std::uint32_t i = 0; i < from->regions; ++i) {
    SNAP_TRY_ASSIGN(region, parse_catalog_region(reader, offset, header));
    catalog.regions.push_back(std::move(region));
  }
  for (const CatalogRegion& region : catalog.regions) names.emplace_back(region.info.kind, region.info.name);
  std::sort(names.begin(), names.end());
  if (std::adjacent_find(names.begin(), names.end()) != names.end()) return corrupt(offset, "two regions of one name");
  if (catalog.digest != snapshot_digest(catalog.regions)) return corrupt(offset, "the snapshot's digest is not that of its regions");
  const auto pairs = reader.take_bytes(from->meta_bytes);
  if (!pairs || (!header.has_parent() && !reader.empty())) return corrupt(offset, "the catalog's metadata has another length");
  SNAP_TRY_ASSIGN(metadata, parse_metadata(*pairs, offset));
  catalog.metadata = std::move(metadata);
  if (header.has_parent()) {
    SNAP_TRY_ASSIGN(parent, parse_parent(reader.rest(), offset));
    catalog.parent = std::move(parent);
  }
  return catalog;
}

Bytes encode_trailer(const Trailer& trailer) {
  wire::Trailer to{};
  std::memcpy(to.magic, wire::kTrailerMagic, sizeof to.magic);
  to.file_bytes = trailer.file_bytes;
  to.catalog_offset = trailer.catalog.offset;
  to.catalog_bytes = trailer.catalog.record_bytes;
  to.catalog_check = trailer.catalog.head_check;
  to.header_check = trailer.header_check;
  to.records = trailer.records;
  to.check = check64(bytes_of(to).first(offsetof(wire::Trailer, check)), trailer.file_bytes - sizeof to);
  Bytes bytes;
  append(bytes, bytes_of(to));
  return bytes;
}

Result<Trailer> parse_trailer(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  const std::uint64_t offset = file_bytes - kTrailerBytes;
  wire::Trailer from;
  std::memcpy(&from, bytes.data(), sizeof from);
  if (std::memcmp(from.magic, wire::kTrailerMagic, sizeof from.magic) != 0) {
    return truncated(file_bytes, "the file has no trailer: it is incomplete, or something follows it");
  }
  if (from.check != check64(bytes.first(offsetof(wire::Trailer, check)), offset)) return corrupt(offset, "the trailer's check does not fit");
  if (from.file_bytes != file_bytes) return corrupt(offset, "the file has another length than its trailer says", from.file_bytes);
  if (from.zero != 0) return corrupt(offset, "a reserved field of the trailer is not zero");
  const std::uint64_t catalog_bytes = from.catalog_bytes;
  if (catalog_bytes < sizeof(wire::RecordHead) || catalog_bytes > offset || from.catalog_offset != offset - catalog_bytes) {
    return corrupt(offset, "the trailer's place of the catalog is not legal");
  }
  return Trailer{file_bytes, {from.catalog_offset, from.catalog_bytes, from.catalog_check}, from.header_check, from.records};
}

}  // namespace snap

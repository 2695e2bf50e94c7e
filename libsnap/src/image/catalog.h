// SPDX-License-Identifier: Apache-2.0
// REGION, CLOSE, META, SEAL, CATALOG (SPEC 6, 9, 10) and the trailer (SPEC 14): bytes <-> checked values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "image/header.h"
#include "image/record.h"
#include "snap/model.h"
#include "snap/result.h"

namespace snap {

inline bool has_index(const RecordRef& root) { return root.record_bytes != 0; }

/// What CLOSE says of a region.
struct RegionClose {
  RecordRef root;  // record_bytes 0: no index
  std::uint64_t block_records = 0;
  Digest digest;
  friend bool operator==(const RegionClose&, const RegionClose&) = default;
};

struct CatalogRegion {
  RegionInfo info;  // info.size is the final size
  std::uint64_t announced_size = kUnknownSize;
  RegionClose close;
};

struct Catalog {
  std::vector<CatalogRegion> regions;
  Metadata metadata;
  Digest digest;
  std::optional<ParentRef> parent;
};

struct Trailer {
  std::uint64_t file_bytes = 0;
  RecordRef catalog;
  std::uint64_t header_check = 0;
  std::uint64_t records = 0;
};

std::uint64_t page_count(std::uint64_t bytes);
std::uint64_t block_count(std::uint64_t bytes, unsigned block_log2);

/// Why a region cannot be: null where it can. `size` may be kUnknownSize.
const char* region_fault(const RegionInfo& info);
/// The same for one that ended: its size is known.
const char* closed_region_fault(const RegionInfo& info);
Bytes encode_region(const RegionInfo& info, std::uint64_t size_field);
/// A region's description at the front of `reader`; info.size becomes the size field.
Result<RegionInfo> parse_region(ByteReader& reader, std::uint64_t offset);
/// A REGION body alone.
Result<RegionInfo> parse_region_body(std::span<const std::byte> body, std::uint64_t offset);
/// BLAKE3 over the description with the final size, and the root of the tree over its pages. SPEC 11.
Digest region_digest(const RegionInfo& info, const Digest& tree);
Digest snapshot_digest(std::span<const CatalogRegion> regions);

Bytes encode_close(const RegionClose& close);
Result<RegionClose> parse_close(std::span<const std::byte> body, std::uint64_t offset);

/// Why a pair cannot be; null where it can.
const char* metadata_fault(std::string_view key, std::string_view value);
std::uint64_t metadata_bytes(const Metadata& metadata);
Bytes encode_metadata(const Metadata& metadata);
Result<Metadata> parse_metadata(std::span<const std::byte> bytes, std::uint64_t offset);

Bytes encode_seal(std::uint32_t regions, const Digest& digest);
struct Seal {
  std::uint32_t regions = 0;
  Digest digest;
};
Result<Seal> parse_seal(std::span<const std::byte> body, std::uint64_t offset);

/// Why a hint cannot be: null where it can.
const char* hint_fault(std::string_view hint);
Bytes encode_parent(const ParentRef& parent);
Result<ParentRef> parse_parent(std::span<const std::byte> body, std::uint64_t offset);

Bytes encode_catalog(const Catalog& catalog);
Result<Catalog> parse_catalog(std::span<const std::byte> body, std::uint64_t offset, const Header& header);

inline constexpr std::size_t kTrailerBytes = sizeof(wire::Trailer);
Bytes encode_trailer(const Trailer& trailer);
/// The file's last kTrailerBytes bytes. kTruncated where they are no trailer.
Result<Trailer> parse_trailer(std::span<const std::byte> bytes, std::uint64_t file_bytes);

}  // namespace snap

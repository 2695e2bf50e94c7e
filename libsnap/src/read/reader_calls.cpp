// SPDX-License-Identifier: Apache-2.0
// What the reader's header offers on top of a reader, or before there is one.
#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "codec/checksum.h"
#include "read/image.h"
#include "snap/reader.h"

namespace snap {

std::optional<std::size_t> Reader::find(RegionKind kind, std::string_view name) const {
  const auto all = regions();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].kind == kind && all[i].name == name) return i;
  }
  return std::nullopt;
}

const std::optional<ParentRef>& Reader::parent_ref() const {
  static const std::optional<ParentRef> none;
  return none;
}

std::span<const std::byte> Reader::held(std::size_t) const { return {}; }
void Reader::limit_cache(std::size_t) {}

// For readers that keep no index.
Result<Digest> Reader::range_digest(std::size_t region, unsigned height, std::uint64_t number) {
  if (region >= regions().size() || height > format::kDigestTreeHeight) return invalid("no such range");
  const std::uint64_t size = regions()[region].size;
  if (number > format::kMaxPageNumber >> height || number << (height + format::kPageLog2) >= size) return zero_digest(height);
  if (height == 0) {
    Bytes page(kPageBytes);
    const std::uint64_t offset = number * kPageBytes;
    SNAP_TRY(read(region, offset, std::span(page).first(static_cast<std::size_t>(std::min<std::uint64_t>(kPageBytes, size - offset)))));
    return digest_of(page);
  }
  SNAP_TRY_ASSIGN(left, range_digest(region, height - 1, 2 * number));
  SNAP_TRY_ASSIGN(right, range_digest(region, height - 1, 2 * number + 1));
  Digest halves[2] = {left, right};
  return tree_digest(halves);
}

Result<ParentInfo> read_parent_info(RandomSource& source) {
  SNAP_TRY_ASSIGN(image, Image::open(source, 0));
  ParentInfo info{image->catalog().digest, image->catalog().parent, image->header().parent_depth, image->file_bytes(), 0};
  for (const CatalogRegion& region : image->catalog().regions) info.block_records += region.close.block_records;
  return info;
}

Result<std::optional<ParentRef>> read_parent_ref(RandomSource& source, unsigned* depth) {
  Bytes bytes(kHeaderStart);
  SNAP_TRY(read_exact(source, 0, bytes, "the file ends inside its header"));
  SNAP_TRY_ASSIGN(length, header_length(bytes));
  bytes.resize(length);
  SNAP_TRY(read_exact(source, 0, bytes, "the file ends inside its header"));
  SNAP_TRY_ASSIGN(header, parse_header(bytes));
  if (depth != nullptr) *depth = header.parent_depth;
  if (!header.has_parent()) return std::optional<ParentRef>();

  bytes.resize(sizeof(wire::RecordHead));
  SNAP_TRY(read_exact(source, length, bytes, "the file ends before it names its parent"));
  SNAP_TRY_ASSIGN(record, parse_head(bytes, length));
  if (record.type != wire::kParent || record.prior != header.check || record.body_bytes > sizeof(wire::ParentBody) + format::kMaxHintBytes) {
    return corrupt(length, "a file with a parent that does not begin by naming it", record.type);
  }
  bytes.resize(record.body_bytes);
  SNAP_TRY(read_exact(source, record.body_offset(), bytes, "the file ends before it names its parent"));
  SNAP_TRY(verify_body(record, bytes));
  SNAP_TRY_ASSIGN(parent, parse_parent(bytes, length));
  return std::optional(std::move(parent));
}

Result<std::vector<std::byte>> read_state(Reader& reader, std::string_view name, std::uint64_t limit) {
  const auto region = reader.find(RegionKind::kState, name);
  if (!region) return fail(Code::kNotFound, "no such state");
  const std::uint64_t size = reader.regions()[*region].size;
  if (size > limit) return fail(Code::kLimit, "a state is larger than asked for", 0, size);
  std::vector<std::byte> bytes(size);
  SNAP_TRY(reader.read(*region, 0, bytes));
  return bytes;
}

bool looks_like_snapshot(std::span<const std::byte> first_bytes) {
  return first_bytes.size() >= sizeof wire::kHeaderMagic &&
         std::memcmp(first_bytes.data(), wire::kHeaderMagic, sizeof wire::kHeaderMagic) == 0;
}

std::string feature_name(RandomSource& source, unsigned bit) {
  Bytes bytes(kHeaderStart);
  const auto got = source.read_at(0, bytes);
  if (!got || *got != bytes.size()) return {};
  const auto length = header_length(bytes);
  if (!length) return {};
  bytes.resize(*length);
  if (const auto all = source.read_at(0, bytes); !all || *all != bytes.size()) return {};
  for (const FeatureName& name : parse_feature_names(std::span(bytes).subspan(kHeaderStart))) {
    if (name.word == 0 && name.bit == bit) return name.name;
  }
  return {};
}

}  // namespace snap

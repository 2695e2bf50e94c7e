// SPDX-License-Identifier: Apache-2.0
// What the reader's header offers on top of a reader, or before there is one.
#include <cstring>

#include "base/fail.h"
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

// SPDX-License-Identifier: Apache-2.0
#include "image/header.h"

#include <algorithm>
#include <bit>

#include "base/fail.h"
#include "codec/checksum.h"

namespace snap {

namespace {

constexpr std::uint64_t kKnownIncompatible = wire::kIncompatibleParent;

std::uint64_t header_check(std::span<const std::byte> bytes) {
  return check64(bytes.first(offsetof(wire::Header, check)), bytes.subspan(sizeof(wire::Header)), 0);
}

bool legal_name(const wire::FeatureName& entry) {
  const char* end = std::find(std::begin(entry.name), std::end(entry.name), '\0');
  return entry.word <= 2 && entry.bit <= 63 && end != std::begin(entry.name) &&
         std::all_of(end, std::end(entry.name), [](char c) { return c == '\0'; });
}

// One name for each set bit, in ascending order, and no other.
bool names_match_bits(const Header& header) {
  const std::uint64_t words[3] = {header.incompatible, header.read_compatible, header.compatible};
  std::size_t at = 0;
  for (unsigned word = 0; word < 3; ++word) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      if ((words[word] >> bit & 1) == 0) continue;
      if (at == header.names.size() || header.names[at].word != word || header.names[at].bit != bit) return false;
      ++at;
    }
  }
  return at == header.names.size();
}

}  // namespace

std::vector<FeatureName> parse_feature_names(std::span<const std::byte> table) {
  std::vector<FeatureName> names;
  ByteReader reader(table);
  while (auto entry = reader.take<wire::FeatureName>()) {
    if (!legal_name(*entry)) return {};
    names.push_back({entry->word, entry->bit, std::string(entry->name, ::strnlen(entry->name, sizeof entry->name))});
  }
  return names;
}

Result<std::uint32_t> header_length(std::span<const std::byte> start) {
  if (start.size() < sizeof(wire::Header)) {
    if (!std::equal(start.begin(), start.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(start.size(), 8)),
                    std::as_bytes(std::span(wire::kHeaderMagic)).begin())) {
      return corrupt(0, "not a vmsnap file");
    }
    return truncated(start.size(), "the file ends inside its header");
  }
  wire::Header header;
  std::memcpy(&header, start.data(), sizeof header);
  if (std::memcmp(header.magic, wire::kHeaderMagic, sizeof header.magic) != 0) return corrupt(0, "not a vmsnap file");
  if (header.version != format::kVersion) {
    return unsupported(offsetof(wire::Header, version), "a format version this reader does not know", header.version);
  }
  const std::uint32_t length = header.header_bytes;
  if (length < sizeof header || length > format::kMaxHeaderBytes || (length - sizeof header) % sizeof(wire::FeatureName) != 0) {
    return corrupt(offsetof(wire::Header, header_bytes), "the header's length is not legal", length);
  }
  return length;
}

Result<Header> parse_header(std::span<const std::byte> bytes) {
  SNAP_TRY_ASSIGN(length, header_length(bytes));
  if (bytes.size() < length) return truncated(bytes.size(), "the file ends inside its header");
  bytes = bytes.first(length);
  wire::Header from;
  std::memcpy(&from, bytes.data(), sizeof from);
  if (from.check != header_check(bytes)) return corrupt(0, "the header's check does not fit");

  Header header;
  header.header_bytes = length;
  header.check = from.check;
  header.incompatible = from.incompatible;
  header.read_compatible = from.read_compatible;
  header.compatible = from.compatible;
  header.block_log2 = from.block_log2;
  header.copy_window = from.copy_window;
  header.parent_depth = from.parent_depth;
  const std::uint64_t unknown = header.incompatible & ~kKnownIncompatible;
  if (unknown != 0) {
    return unsupported(offsetof(wire::Header, incompatible), "the file needs a feature this reader lacks",
                       static_cast<std::uint64_t>(std::countr_zero(unknown)));
  }
  if (header.block_log2 < format::kMinBlockLog2 || header.block_log2 > format::kMaxBlockLog2) {
    return corrupt(offsetof(wire::Header, block_log2), "the block size is not legal", header.block_log2);
  }
  if (from.page_log2 != format::kPageLog2) return corrupt(offsetof(wire::Header, page_log2), "the page size is not 4096");
  if (header.has_parent() != (header.parent_depth != 0)) {
    return corrupt(offsetof(wire::Header, parent_depth), "the parent depth does not fit the feature 'parent'", header.parent_depth);
  }
  if (header.parent_depth > format::kMaxParents) {
    return corrupt(offsetof(wire::Header, parent_depth), "a chain of more parents than there may be", header.parent_depth);
  }
  if (header.copy_window > format::kMaxCopyWindowBytes >> header.block_log2) {
    return corrupt(offsetof(wire::Header, copy_window), "the copy window is over its limit", header.copy_window);
  }
  if (from.zero != 0) return corrupt(offsetof(wire::Header, zero), "a reserved field is not zero");
  if (from.feature_names != (length - sizeof from) / sizeof(wire::FeatureName)) {
    return corrupt(offsetof(wire::Header, feature_names), "the feature table's length does not fit", from.feature_names);
  }
  header.names = parse_feature_names(bytes.subspan(sizeof from));
  const bool misnamed = header.has_parent() && !header.names.empty() && header.names[0].name != "parent";
  if (!names_match_bits(header) || misnamed) return corrupt(sizeof from, "the feature table does not fit the feature bits");
  return header;
}

Bytes encode_header(Header& header) {
  wire::Header to{};
  std::memcpy(to.magic, wire::kHeaderMagic, sizeof to.magic);
  header.header_bytes = static_cast<std::uint32_t>(sizeof to + header.names.size() * sizeof(wire::FeatureName));
  to.version = format::kVersion;
  to.header_bytes = header.header_bytes;
  to.incompatible = header.incompatible;
  to.read_compatible = header.read_compatible;
  to.compatible = header.compatible;
  to.block_log2 = static_cast<std::uint8_t>(header.block_log2);
  to.page_log2 = format::kPageLog2;
  to.parent_depth = header.parent_depth;
  to.copy_window = header.copy_window;
  to.feature_names = static_cast<std::uint32_t>(header.names.size());
  Bytes bytes;
  append(bytes, bytes_of(to));
  for (const FeatureName& name : header.names) {
    wire::FeatureName entry{name.word, name.bit, {}};
    name.name.copy(entry.name, sizeof entry.name);
    append(bytes, bytes_of(entry));
  }
  header.check = header_check(bytes);
  to.check = header.check;
  std::memcpy(bytes.data(), &to, sizeof to);
  return bytes;
}

}  // namespace snap

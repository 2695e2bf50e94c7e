// SPDX-License-Identifier: Apache-2.0
#include "vmm/decompress.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "vmm/decoder.h"
#include "vmm/decoders.h"

namespace snap {
namespace {

struct Known {
  Compression compression;
  const char* name;
  std::string_view magic;
};
constexpr std::array<Known, 6> kKnown = {{
    {Compression::kGzip, "gzip", "\x1f\x8b\x08"},
    {Compression::kBzip2, "bzip2", "BZh"},
    {Compression::kXz, "xz", std::string_view("\xfd""7zXZ\0", 6)},
    {Compression::kXz, "xz", std::string_view("]\0\0", 3)},  // .lzma
    {Compression::kLzop, "lzop", std::string_view("\x89LZO\0\r\n\x1a\n", 9)},
    {Compression::kZstd, "zstd", "\x28\xb5\x2f\xfd"},
}};

}  // namespace

Compression compression_of(std::span<const std::byte> first_bytes) {
  for (const Known& known : kKnown) {
    if (first_bytes.size() < known.magic.size()) continue;
    if (std::memcmp(first_bytes.data(), known.magic.data(), known.magic.size()) == 0) return known.compression;
  }
  return Compression::kNone;
}

const char* compression_name(Compression compression) {
  for (const Known& known : kKnown) {
    if (known.compression == compression) return known.name;
  }
  return "raw";
}

Result<std::size_t> Decoder::read(std::span<std::byte> out) {
  while (!out.empty()) {
    if (!inside_) {
      SNAP_TRY_ASSIGN(another, next_member());
      if (!another) break;
    }
    SNAP_TRY_ASSIGN(got, decode(out));
    if (got != 0) return got;
  }
  return std::size_t{0};
}

Result<bool> Decoder::next_member() {
  while (!first_) {
    SNAP_TRY_ASSIGN(bytes, in_.look_around());
    if (bytes.empty()) return false;
    const auto begin = std::find_if(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte{0}; });
    SNAP_TRY(in_.skip(static_cast<std::uint64_t>(begin - bytes.begin()), ""));
    if (begin != bytes.end()) break;
  }
  first_ = false;
  inside_ = true;
  SNAP_TRY(begin());
  return true;
}

std::unique_ptr<ByteSource> decompressed(ForwardStream& in, Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return gzip_decoder(in);
    case Compression::kBzip2:
      return bzip2_decoder(in);
    case Compression::kXz:
      return xz_decoder(in);
    case Compression::kLzop:
      return lzop_decoder(in);
    case Compression::kZstd:
      return zstd_decoder(in);
    case Compression::kNone:
      break;
  }
  return nullptr;
}

Result<Imported> with_unwrapped(ByteSource& source, Writer& writer, const ImportOptions& options,
                                const std::function<Result<Imported>(ForwardStream&)>& use) {
  constexpr std::size_t kLongestMagic = 9;
  ForwardStream outer(source, options);
  SNAP_TRY_ASSIGN(first, outer.look_around(kLongestMagic));
  const Compression compression = compression_of(first);
  if (compression == Compression::kNone) return use(outer);
  SNAP_TRY(writer.set_metadata("source.compression", compression_name(compression)));
  const auto inside = decompressed(outer, compression);
  ImportOptions uncounted = options;
  uncounted.progress = nullptr;
  ForwardStream inner(*inside, uncounted);
  return use(inner);
}

}  // namespace snap

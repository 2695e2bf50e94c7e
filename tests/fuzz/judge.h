// SPDX-License-Identifier: Apache-2.0
// What must hold of any file at all. A broken rule ends the program.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <map>

#include "snap/check.h"
#include "snap/reader.h"
#include "snap/restore.h"
#include "support/content.h"

namespace snap::test {

inline void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

/// Pages that are not zero, by region and number.
using Pages = std::map<std::pair<std::size_t, std::uint64_t>, Bytes>;

inline void keep(Pages& pages, std::size_t region, std::uint64_t offset, std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kPage) {
    const auto part = bytes.subspan(at, std::min(kPage, bytes.size() - at));
    if (std::all_of(part.begin(), part.end(), [](std::byte b) { return b == std::byte{0}; })) continue;
    Bytes page(part.begin(), part.end());
    page.resize(kPage);
    pages[{region, (offset + at) / kPage}] = std::move(page);
  }
}

/// All data of a region, as far as it can be read; at most `most` bytes. Answers whether there was no error.
inline bool read_region(Reader& reader, std::size_t region, Pages& pages, std::uint64_t most) {
  bool sound = true;
  const std::uint64_t size = reader.regions()[region].size;
  for (std::uint64_t at = 0; at < size && most != 0;) {
    const auto extent = reader.extent(region, at);
    if (!extent) return false;
    demand(extent->offset == at && extent->length != 0 && extent->length <= size - at, "an extent that does not lie in its region");
    std::uint64_t left = extent->data ? extent->length : 0;
    for (std::uint64_t place = at; left != 0 && most != 0;) {
      Bytes out(static_cast<std::size_t>(std::min<std::uint64_t>({left, most, reader.block_bytes() - place % reader.block_bytes()})));
      if (reader.read(region, place, out)) {
        keep(pages, region, place, out);
      } else {
        sound = false;
      }
      place += out.size();
      left -= out.size();
      most -= out.size();
    }
    at += extent->length;
  }
  return sound;
}

class Kept final : public StreamVisitor {
 public:
  Result<void> region_begin(std::size_t, const RegionInfo&) override { return {}; }
  Result<void> region_bytes(std::size_t region, std::uint64_t offset, std::span<const std::byte> bytes) override {
    demand(offset >= least_ || region != region_, "bytes of a stream that go back");
    region_ = region;
    least_ = offset + bytes.size();
    keep(pages, region, offset, bytes);
    return {};
  }
  Result<void> region_end(std::size_t, std::uint64_t) override { return {}; }
  Pages pages;

 private:
  std::size_t region_ = 0;
  std::uint64_t least_ = 0;
};

inline Result<StreamResult> read_through(std::span<const std::byte> file, Kept& kept, Reader* parent = nullptr) {
  auto source = memory_source(file);
  auto stream = range_stream(*source, 0, file.size());
  return read_stream(*stream, kept, [&](const ParentRef&) -> Result<Reader*> { return parent; });
}

}  // namespace snap::test

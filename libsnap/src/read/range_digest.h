// SPDX-License-Identifier: Apache-2.0
// The digest of any aligned range of a region: from the index as far as it says it, else from the content.
#pragma once

#include <functional>

#include "read/image.h"

namespace snap {

class RangeDigest {
 public:
  /// The digest of a range that has no record; zero where this is empty.
  using Absent = std::function<Result<Digest>(unsigned height, std::uint64_t number)>;
  /// Bytes of the region, all inside it.
  using Read = std::function<Result<void>(std::uint64_t offset, std::span<std::byte> out)>;

  RangeDigest(Image& image, std::size_t region, Absent absent, Read read)
      : image_(image), region_(region), absent_(std::move(absent)), read_(std::move(read)) {}

  Result<Digest> of(unsigned height, std::uint64_t number) const;

 private:
  Result<Digest> of_pages(unsigned height, std::uint64_t number) const;

  Image& image_;
  std::size_t region_;
  Absent absent_;
  Read read_;
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// How the parts of the library that restore a snapshot reach the image behind a Reader.
#pragma once

#include "chain/parent_link.h"
#include "read/image.h"

namespace snap {

/// What has an index and page maps, but not always pages.
class IndexedImage {
 public:
  virtual ~IndexedImage() = default;
  virtual Image& image() = 0;
};

class OpenedImage : public IndexedImage {
 public:
  /// The page that a copy names, 4096 bytes; refused where it is not raw in its block, or where the parent does not have it.
  virtual Result<void> read_source(CopyRef source, std::span<std::byte> to, const ReadTask& task) = 0;
  /// Null for a snapshot that stands alone.
  virtual const ParentLink* link() const { return nullptr; }
};

}  // namespace snap

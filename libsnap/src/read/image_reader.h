// SPDX-License-Identifier: Apache-2.0
// What every reader over an image answers out of its header and catalog.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "read/block_memory.h"
#include "read/image.h"
#include "read/shared_cache.h"
#include "snap/reader.h"

namespace snap {

class ImageReader : public Reader {
 public:
  std::span<const RegionInfo> regions() const final { return infos_; }
  RegionStats region_stats(std::size_t region) const final { return {image_->catalog().regions[region].close.block_records}; }
  Digest region_digest(std::size_t region) const final { return image_->catalog().regions[region].close.digest; }
  const Metadata& metadata() const final { return image_->catalog().metadata; }
  const Digest& digest() const final { return image_->catalog().digest; }
  std::uint32_t block_bytes() const final { return image_->header().block_bytes(); }
  std::uint64_t file_bytes() const final { return image_->file_bytes(); }
  const std::optional<ParentRef>& parent_ref() const final { return image_->catalog().parent; }
  unsigned depth() const final { return image_->header().parent_depth; }

  static constexpr std::size_t kNodeShare = 8;  // of a cache: nodes of the index get one such part

 protected:
  explicit ImageReader(std::unique_ptr<Image> image) : image_(std::move(image)) {
    for (const CatalogRegion& region : image_->catalog().regions) infos_.push_back(region.info);
  }

  /// Of a block in a cache.
  static std::uint64_t key(std::size_t region, std::uint64_t block) { return std::uint64_t{region} << 48 | block; }

  Result<void> in_region(std::size_t region, std::uint64_t offset, std::uint64_t bytes) const {
    if (region >= infos_.size()) return invalid("no such region", region);
    if (offset > infos_[region].size || bytes > infos_[region].size - offset) return invalid("a read past the end of its region", offset);
    return {};
  }

  void limit_nodes(std::size_t bytes) { image_->limit_nodes(bytes); }
  /// Nodes and blocks together; `memory` is what blocks are taken from.
  template <typename Block>
  void limit(std::size_t bytes, SharedCache<Block>& blocks, BlockMemory& memory) {
    limit_nodes(bytes / kNodeShare);
    blocks.set_limit(bytes - bytes / kNodeShare);
    if (bytes < limit_.exchange(bytes)) memory.trim();
  }

  std::unique_ptr<Image> image_;
  std::vector<RegionInfo> infos_;

 private:
  std::atomic<std::size_t> limit_{~std::size_t{0}};  // of the last limit(); there is nothing to trim before
};

}  // namespace snap

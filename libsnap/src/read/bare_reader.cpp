// SPDX-License-Identifier: Apache-2.0
#include "read/bare_reader.h"

#include "base/fail.h"
#include "read/opened.h"

namespace snap {

namespace {

constexpr Error kNeedsParent{.code = Code::kParentMismatch, .what = "the snapshot is a difference and was opened without its parent"};

class BareReader final : public Reader, public IndexedImage {
 public:
  explicit BareReader(std::unique_ptr<Image> image) : image_(std::move(image)) {
    for (const CatalogRegion& region : image_->catalog().regions) infos_.push_back(region.info);
  }

  std::span<const RegionInfo> regions() const override { return infos_; }
  RegionStats region_stats(std::size_t region) const override { return {image_->catalog().regions[region].close.block_records}; }
  Digest region_digest(std::size_t region) const override { return image_->catalog().regions[region].close.digest; }
  const Metadata& metadata() const override { return image_->catalog().metadata; }
  const Digest& digest() const override { return image_->catalog().digest; }
  std::uint32_t block_bytes() const override { return image_->header().block_bytes(); }
  std::uint64_t file_bytes() const override { return image_->file_bytes(); }
  const std::optional<ParentRef>& parent_ref() const override { return image_->catalog().parent; }
  unsigned depth() const override { return image_->header().parent_depth; }
  Image& image() override { return *image_; }

  Result<void> read(std::size_t, std::uint64_t, std::span<std::byte>) override { return kNeedsParent; }
  Result<void> read_batch(std::span<const RegionRead>) override { return kNeedsParent; }
  Result<Digest> block_digest(std::size_t, std::uint64_t) override { return kNeedsParent; }
  Result<Digest> range_digest(std::size_t, unsigned, std::uint64_t) override { return kNeedsParent; }
  Result<Extent> extent(std::size_t, std::uint64_t) override { return kNeedsParent; }

 private:
  std::unique_ptr<Image> image_;
  std::vector<RegionInfo> infos_;
};

}  // namespace

Result<std::unique_ptr<Reader>> make_bare_reader(std::unique_ptr<Image> image) {
  return std::unique_ptr<Reader>(std::make_unique<BareReader>(std::move(image)));
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "read/bare_reader.h"

#include "read/image_reader.h"
#include "read/opened.h"

namespace snap {

namespace {

constexpr Error kNeedsParent{.code = Code::kParentMismatch, .what = "the snapshot is a difference and was opened without its parent"};

class BareReader final : public ImageReader, public IndexedImage {
 public:
  explicit BareReader(std::unique_ptr<Image> image) : ImageReader(std::move(image)) {}

  Image& image() override { return *image_; }

  Result<void> read(std::size_t, std::uint64_t, std::span<std::byte>) override { return kNeedsParent; }
  Result<void> read_batch(std::span<const RegionRead>) override { return kNeedsParent; }
  Result<Digest> block_digest(std::size_t, std::uint64_t) override { return kNeedsParent; }
  Result<Digest> range_digest(std::size_t, unsigned, std::uint64_t) override { return kNeedsParent; }
  Result<Extent> extent(std::size_t, std::uint64_t, std::uint64_t) override { return kNeedsParent; }
  void limit_cache(std::size_t bytes) override { limit_nodes(bytes / kNodeShare); }
};

}  // namespace

Result<std::unique_ptr<Reader>> make_bare_reader(std::unique_ptr<Image> image) {
  return std::unique_ptr<Reader>(std::make_unique<BareReader>(std::move(image)));
}

}  // namespace snap

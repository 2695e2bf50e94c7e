// SPDX-License-Identifier: Apache-2.0
// Which pages a snapshot holds, told by the page maps of its blocks.
#include <algorithm>

#include "base/fail.h"
#include "read/opened.h"
#include "restore/record_window.h"
#include "snap/restore.h"

namespace snap {

namespace {

class ChangeWalk {
 public:
  ChangeWalk(Image& image, std::size_t region, const ChangeVisitor& visit) : image_(image), region_(region), visit_(visit) {}

  Result<void> run() {
    const std::uint64_t end = image_.blocks(region_);
    for (std::uint64_t block = 0; block < end; ++block) {
      SNAP_TRY_ASSIGN(present, image_.next_present(region_, block));
      if (present >= end) break;
      block = present;
      SNAP_TRY_ASSIGN(entry, image_.find(region_, block));
      if (!entry) return corrupt(0, "an index that changes while it is read", block);
      SNAP_TRY(take(entry->record, block));
    }
    return flush();
  }

 private:
  Result<void> take(const RecordRef& ref, std::uint64_t block) {
    SNAP_TRY_ASSIGN(bytes, window_.bytes_of(image_.source(), ref));
    Record record;
    SNAP_TRY_ASSIGN(view, image_.view(ref, region_, block, bytes, record));
    const bool child = image_.header().has_parent();
    for (std::uint32_t page = 0; page < view.pages(); ++page) {
      const bool zero = view.kind(page) == wire::kZero;
      if (child ? view.kind(page) == wire::kSame : zero) continue;
      SNAP_TRY(add((block << image_.header().block_log2) + std::uint64_t{page} * kPageBytes, zero));
    }
    return {};
  }

  Result<void> add(std::uint64_t offset, bool zero) {
    if (range_.length == 0 || range_.offset + range_.length != offset || range_.zero != zero) {
      SNAP_TRY(flush());
      range_ = {offset, 0, zero};
    }
    range_.length += std::min<std::uint64_t>(kPageBytes, image_.size(region_) - offset);
    return {};
  }

  Result<void> flush() {
    const ChangedRange range = std::exchange(range_, {});
    return range.length == 0 ? Result<void>() : visit_(range);
  }

  Image& image_;
  std::size_t region_;
  const ChangeVisitor& visit_;
  ChangedRange range_;
  RecordWindow window_;
};

}  // namespace

Result<void> visit_changes(Reader& reader, std::size_t region, const ChangeVisitor& visit) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  auto* image = dynamic_cast<IndexedImage*>(&reader);
  if (image == nullptr) return invalid("a reader of another kind");
  return ChangeWalk(image->image(), region, visit).run();
}

}  // namespace snap

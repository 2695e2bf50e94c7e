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

namespace {

constexpr std::size_t kMostStretches = 1u << 20;  // before they are joined again

/// Stretches of one file of a chain, by where they begin; later they are joined.
using Stretches = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

void join(Stretches& stretches) {
  std::sort(stretches.begin(), stretches.end());
  std::size_t kept = 0;
  for (const auto& [begin, end] : stretches) {
    if (kept != 0 && begin <= stretches[kept - 1].second) {
      stretches[kept - 1].second = std::max(stretches[kept - 1].second, end);
    } else {
      stretches[kept++] = {begin, end};
    }
  }
  stretches.resize(kept);
}

}  // namespace

Result<void> visit_changes_since(Reader& reader, std::size_t region, Reader& base, const ChangeVisitor& visit) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  const RegionInfo& info = reader.regions()[region];
  Stretches stretches;
  unsigned distance = 0;
  for (Reader* file = &reader; file->digest() != base.digest(); file = file->parent(), ++distance) {
    if (file->parent() == nullptr) return fail(Code::kParentMismatch, "the base is none of the snapshot's parents");
    // A file of the chain that lacks the region has nothing to add: what is below it is not seen through it.
    const auto at = file->find(info.kind, info.name);
    const auto below = file->parent()->find(info.kind, info.name);
    // Where the sizes differ, what only one of them has counts as changed.
    const std::uint64_t size = at ? file->regions()[*at].size : 0;
    const std::uint64_t other = below ? file->parent()->regions()[*below].size : 0;
    if (size != other) stretches.emplace_back(std::min(size, other) / kPageBytes * kPageBytes, std::max(size, other));
    if (!at) continue;
    const auto note = [&](const ChangedRange& range) -> Result<void> {
      stretches.emplace_back(range.offset, range.offset + range.length);
      if (stretches.size() % kMostStretches == 0) join(stretches);
      return {};
    };
    if (auto visited = visit_changes(*file, *at, note); !visited) return of_ancestor(visited.error(), distance);
  }
  join(stretches);
  for (const auto& [begin, end] : stretches) {
    if (begin < info.size) SNAP_TRY(visit({begin, std::min(end, info.size) - begin, false}));
  }
  return {};
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "chain/parent_link.h"

#include <algorithm>
#include <array>

#include "codec/checksum.h"
#include "image/catalog.h"

namespace snap {

namespace {

Result<void> at_parent(Result<void> result) {
  if (!result) return of_parent(result.error());
  return result;
}

}  // namespace

Result<void> ParentLink::verify(const Reader& parent, const ParentRef& wanted, unsigned child_depth) {
  if (parent.digest() != wanted.digest) return fail(Code::kParentMismatch, "this is not the parent: its content is another");
  if (parent.depth() >= child_depth) return fail(Code::kParentMismatch, "this is not the parent: it has as many parents itself", 0, parent.depth());
  return {};
}

void ParentLink::add_region(const RegionInfo& info, std::uint64_t announced) {
  View view;
  view.region = parent_.find(info.kind, info.name);
  view.parent_size = view.region ? parent_.regions()[*view.region].size : 0;
  view.announced = announced;
  view.size = info.size;
  views_.push_back(view);
}

Result<void> ParentLink::read_raw(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) const {
  return at_parent(pages_ != nullptr ? pages_->read_into(region, offset, out, task) : parent_.read(region, offset, out));
}

Result<void> ParentLink::read(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) const {
  const View& view = views_[region];
  const std::uint64_t there = view.bytes() > offset ? view.bytes() - offset : 0;
  const auto covered = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(there, out.size())));
  if (!covered.empty()) SNAP_TRY(read_raw(*view.region, offset, covered, task));
  if (!task.zeroed) std::fill(out.begin() + static_cast<std::ptrdiff_t>(covered.size()), out.end(), std::byte{0});
  return {};
}

std::span<const std::byte> ParentLink::held(std::size_t region, std::uint64_t offset, std::size_t bytes) const {
  const View& view = views_[region];
  if (!view.region || view.bytes() < offset || view.bytes() - offset < bytes) return {};
  const auto all = parent_.held(*view.region);
  return all.empty() ? all : all.subspan(static_cast<std::size_t>(offset), bytes);
}

Result<void> ParentLink::read_page(PageRef page, std::span<std::byte> out, const ReadTask& task) const {
  if (page.region >= parent_.regions().size() || page.page >= page_count(parent_.regions()[page.region].size)) {
    return corrupt(0, "a copy of a page that the parent does not have", page.page);
  }
  const std::uint64_t offset = page.page * kPageBytes;
  const std::uint64_t there = std::min<std::uint64_t>(kPageBytes, parent_.regions()[page.region].size - offset);
  SNAP_TRY(read_raw(page.region, offset, out.first(static_cast<std::size_t>(there)), task));
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(there), out.end(), std::byte{0});
  return {};
}

// Pages that follow each other are read together.
Result<void> ParentLink::read_dictionary(std::size_t region, std::uint64_t offset, std::span<const std::uint64_t> named,
                                         std::span<const std::byte> own, std::span<std::byte> out, const ReadTask& task) const {
  for (std::size_t first = 0; first < named.size();) {
    std::size_t last = first + 1;
    while (last < named.size() && named[last] == named[last - 1] + 1) ++last;
    const std::size_t bytes = (last - first) * kPageBytes;
    SNAP_TRY(read(region, named[first] * kPageBytes, out.first(bytes), task));
    out = out.subspan(bytes);
    first = last;
  }
  if (own.empty()) return read(region, offset, out, task);
  std::copy(own.begin(), own.end(), out.begin());
  return {};
}

Result<Extent> ParentLink::extent(std::size_t region, std::uint64_t offset, std::uint64_t end) const {
  const View& view = views_[region];
  if (offset >= view.bytes()) return Extent{offset, end - offset, false};
  const std::uint64_t there = std::min(end, view.bytes());
  auto extent = pages_ != nullptr ? pages_->extent_until(*view.region, offset, there) : parent_.extent(*view.region, offset, there);
  if (!extent) return of_parent(extent.error());
  extent->length = std::min(extent->length, there - offset);
  if (!extent->data && offset + extent->length == view.bytes()) extent->length = end - offset;
  return extent;
}

Result<bool> ParentLink::in_place(std::size_t region, std::uint64_t offset, std::uint64_t bytes) const {
  const View& view = views_[region];
  if (offset >= view.bytes()) return true;
  if (pages_ == nullptr) return parent_.depth() == 0;
  auto answer = pages_->in_place(*view.region, offset, std::min(bytes, view.bytes() - offset));
  return answer ? answer : Result<bool>(of_parent(answer.error()));
}

// Where the child is cut short, what the parent has there is too: only whole pieces have the parent's own digests.
Result<Digest> ParentLink::range_digest(std::size_t region, unsigned height, std::uint64_t number) const {
  const View& view = views_[region];
  const unsigned log2 = height + format::kPageLog2;
  const std::uint64_t first = number << log2;  // the tree has 2^52 bytes in all
  const std::uint64_t end = std::min(view.parent_size, view.size);
  if (first >= end) return zero_digest(height);
  const bool cut = view.size < view.parent_size && view.size - first < std::uint64_t{1} << log2;
  if (!cut) {
    auto digest = parent_.range_digest(*view.region, height, number);
    return digest ? digest : Result<Digest>(of_parent(digest.error()));
  }
  if (height == 0) {
    std::array<std::byte, kPageBytes> page;
    const ReadTask task;
    SNAP_TRY(read(region, first, page, task));
    return digest_of(page);
  }
  SNAP_TRY_ASSIGN(left, range_digest(region, height - 1, 2 * number));
  SNAP_TRY_ASSIGN(right, range_digest(region, height - 1, 2 * number + 1));
  Digest halves[2] = {left, right};
  return tree_digest(halves);
}

}  // namespace snap

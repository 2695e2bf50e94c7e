// SPDX-License-Identifier: Apache-2.0
#include "vmm/page_ram.h"

#include <algorithm>
#include <cassert>

#include "base/fail.h"

namespace snap {
namespace {

constexpr std::size_t kBatchPages = 64;

/// A run of pages of the recipe, and where in the stream it lies.
struct Run {
  RecipeOp op;
  std::uint64_t stream_offset = 0;
  std::uint64_t stride() const { return mark_bytes(op.form) + (op.kind == RecipeOp::kPages ? kPageBytes : 1); }
};

/// The runs of a scan in stream order.
class Runs {
 public:
  Runs(const Bytes& operations, std::uint64_t begin) : reader_(operations), at_(begin) {}

  /// Nothing at the end. The recipe is our own, so it has no errors.
  std::optional<Run> next() {
    while (!reader_.at_end()) {
      Run run;
      run.op = *reader_.next();
      run.stream_offset = at_;
      if (run.op.kind == RecipeOp::kLiteral) {
        at_ += run.op.bytes.size();
        continue;
      }
      assert(run.op.kind == RecipeOp::kPages || run.op.kind == RecipeOp::kFills);
      at_ += run.op.count * run.stride();
      return run;
    }
    return std::nullopt;
  }

 private:
  RecipeReader reader_;
  std::uint64_t at_;
};

/// The part of a run that lies in [begin, end) of the RAM, as offsets in the RAM.
struct Part {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};
Part part_of(const Run& run, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t run_begin = run.op.first * kPageBytes;
  Part part{std::max(begin, run_begin), std::min(end, run_begin + run.op.count * kPageBytes)};
  part.end = std::max(part.begin, part.end);
  return part;
}

/// Puts the runs of one region into the writer.
class RegionPages {
 public:
  RegionPages(StreamSource& stream, Writer& writer, const Bytes& operations, std::uint64_t stream_begin)
      : stream_(stream), writer_(writer), operations_(operations), stream_begin_(stream_begin) {}

  Result<void> write(const RegionInfo& info, std::uint64_t begin);

 private:
  bool ascending(std::uint64_t begin, std::uint64_t end) const;
  Result<void> put_part(const Run& run, const Part& part);
  Result<void> put(std::uint64_t ram_offset, std::span<const std::byte> bytes);

  StreamSource& stream_;
  Writer& writer_;
  const Bytes& operations_;
  std::uint64_t stream_begin_;
  std::uint64_t region_begin_ = 0;
  PageOrder order_ = PageOrder::kAscending;
  std::uint64_t next_ = 0;  // in the RAM, kAscending only
  Bytes raw_;
  Bytes pages_;
};

bool RegionPages::ascending(std::uint64_t begin, std::uint64_t end) const {
  Runs runs(operations_, stream_begin_);
  std::uint64_t reached = begin;
  while (const auto run = runs.next()) {
    const Part part = part_of(*run, begin, end);
    if (part.begin == part.end) continue;
    if (part.begin < reached) return false;
    reached = part.end;
  }
  return true;
}

Result<void> RegionPages::write(const RegionInfo& info, std::uint64_t begin) {
  const std::uint64_t end = begin + info.size;
  region_begin_ = next_ = begin;
  order_ = ascending(begin, end) ? PageOrder::kAscending : PageOrder::kAnyOrder;
  SNAP_TRY(writer_.begin_region(info, order_));
  Runs runs(operations_, stream_begin_);
  while (const auto run = runs.next()) {
    const Part part = part_of(*run, begin, end);
    if (part.begin != part.end) SNAP_TRY(put_part(*run, part));
  }
  if (order_ == PageOrder::kAscending && next_ < end) SNAP_TRY(writer_.skip(end - next_));
  return writer_.end_region();
}

/// Pages in batches. A region may begin inside a page; then both regions get their part of it.
Result<void> RegionPages::put_part(const Run& run, const Part& part) {
  const std::uint64_t last = ceil_div(part.end, kPageBytes);
  for (std::uint64_t page = part.begin / kPageBytes; page < last;) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kBatchPages, last - page));
    const std::uint64_t stride = run.stride();
    pages_.resize(count * kPageBytes);
    if (run.op.kind == RecipeOp::kFills) {
      std::fill(pages_.begin(), pages_.end(), run.op.fill);
    } else {
      raw_.resize(count * static_cast<std::size_t>(stride));
      SNAP_TRY(stream_.read_exact(run.stream_offset + (page - run.op.first) * stride, raw_, "the RAM section ends early"));
      const unsigned mark = mark_bytes(run.op.form);
      for (std::size_t index = 0; index < count; ++index) {
        std::memcpy(pages_.data() + index * kPageBytes, raw_.data() + index * stride + mark, kPageBytes);
      }
    }
    const std::uint64_t batch_begin = page * kPageBytes;
    const std::uint64_t from = std::max(batch_begin, part.begin);
    const std::uint64_t to = std::min(batch_begin + pages_.size(), part.end);
    SNAP_TRY(put(from, std::span(pages_).subspan(from - batch_begin, to - from)));
    page += count;
  }
  return {};
}

Result<void> RegionPages::put(std::uint64_t ram_offset, std::span<const std::byte> bytes) {
  if (order_ == PageOrder::kAnyOrder) return writer_.write_at(ram_offset - region_begin_, bytes);
  if (ram_offset > next_) SNAP_TRY(writer_.skip(ram_offset - next_));
  next_ = ram_offset + bytes.size();
  return writer_.write(bytes);
}

}  // namespace

Result<void> import_pages(StreamSource& stream, const StreamLayout& layout, PageScan& scan, const std::optional<Machine>& machine,
                          Writer& writer) {
  RegionPages pages(stream, writer, scan.recipe.operations(), layout.ram_begin);
  std::uint64_t begin = 0;
  for (const RegionInfo& info : ram_regions(machine, scan.ram_bytes)) {
    SNAP_TRY(pages.write(info, begin));
    begin += info.size;
  }
  return {};
}

}  // namespace snap

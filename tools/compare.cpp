// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "emit.h"
#include "ingest.h"
#include "open.h"
#include "progress.h"
#include "signals.h"
#include "snap/reader.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr std::size_t kChunkBytes = 4u << 20;

struct CompareArgs {
  std::string a, b, region;
  ParentPlaces parents;
  unsigned threads = 0;
  bool progress = false, quiet = false;
};

/// A side of the comparison: a snapshot, or the bytes of a raw file.
class Side {
 public:
  Side(const std::string& path, const CompareArgs& args, Tally& tally) : input_(path) {
    if (!raw()) snapshot_.emplace(input_, IngestOptions{.threads = args.threads, .parents = args.parents}, tally);
    tally.done = tally.total = 0;
  }
  bool raw() const { return input_.format() == Format::kRaw; }
  Input& input() { return input_; }
  const std::string& name() const { return input_.name(); }
  Reader& reader() { return snapshot_->reader(); }

  [[noreturn]] void fail(const Error& error) {
    if (snapshot_) snapshot_->fail(error);
    input_.fail(error);
  }

  std::uint64_t size(std::size_t region) { return raw() ? input_.size() : reader().regions()[region].size; }
  void read(std::size_t region, std::uint64_t offset, std::span<std::byte> out) {
    const Result<void> done = raw() ? read_raw(offset, out) : reader().read(region, offset, out);
    if (!done) fail(done.error());
  }

 private:
  Result<void> read_raw(std::uint64_t offset, std::span<std::byte> out) {
    const auto got = input_.source().read_at(offset, out);
    if (!got) return got.error();
    if (*got != out.size()) return Error{.code = Code::kTruncated, .file_offset = offset + *got, .what = "became shorter"};
    return {};
  }

  Input input_;
  std::optional<Snapshot> snapshot_;
};

/// Two regions, one of each side, of the same size. On a raw side the number means nothing.
struct Pair {
  Side& a;
  std::size_t in_a;
  Side& b;
  std::size_t in_b;
};

/// The first byte of [offset, offset + length) that differs.
std::optional<std::uint64_t> differing_byte(const Pair& pair, std::uint64_t offset, std::uint64_t length, Tally& tally) {
  std::vector<std::byte> left(kChunkBytes), right(kChunkBytes);
  for (const std::uint64_t end = offset + length; offset < end; tally.done = offset) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, end - offset));
    pair.a.read(pair.in_a, offset, std::span(left).first(count));
    pair.b.read(pair.in_b, offset, std::span(right).first(count));
    const auto [at, _] = std::mismatch(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count), right.begin());
    const auto same = static_cast<std::size_t>(at - left.begin());
    if (same != count) return offset + same;
    offset += count;
  }
  return std::nullopt;
}

template <typename T>
T from(Result<T> result, Side& side) {
  if (!result) side.fail(result.error());
  return std::move(*result);
}

/// By the digests of blocks; only a block that differs is decoded.
std::optional<std::uint64_t> differing_block(const Pair& pair, std::uint64_t size, Tally& tally) {
  Reader &a = pair.a.reader(), &b = pair.b.reader();
  const std::uint64_t block_bytes = a.block_bytes();
  for (std::uint64_t offset = 0; offset < size; tally.done = offset) {
    const Extent in_a = from(a.extent(pair.in_a, offset), pair.a), in_b = from(b.extent(pair.in_b, offset), pair.b);
    const std::uint64_t both = std::min(in_a.length, in_b.length);
    if (!in_a.data && !in_b.data) {
      offset += both;
      continue;
    }
    for (const std::uint64_t end = offset + both; offset < end;) {
      const std::uint64_t block = offset / block_bytes, length = std::min(block_bytes, end - offset);
      const bool same = from(a.block_digest(pair.in_a, block), pair.a) == from(b.block_digest(pair.in_b, block), pair.b);
      if (!same) return differing_byte(pair, offset, length, tally);
      offset += length;
      if (cancelled()) fail(pair.a.name(), Error{.code = Code::kCancelled});
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> differing_content(const Pair& pair, std::uint64_t size, Tally& tally) {
  if (!pair.a.raw() && !pair.b.raw() && pair.a.reader().block_bytes() == pair.b.reader().block_bytes()) {
    return differing_block(pair, size, tally);
  }
  return differing_byte(pair, 0, size, tally);
}

using Difference = std::optional<std::string>;

Difference compare_regions(const Pair& pair, const std::string& name, const RegionInfo* info, Tally& tally) {
  const std::uint64_t size_a = pair.a.size(pair.in_a), size_b = pair.b.size(pair.in_b);
  if (size_a != size_b) return fmt::format("{}: sizes differ: {} and {} bytes", name, size_a, size_b);
  tally.total += size_a;
  const auto at = differing_content(pair, size_a, tally);
  if (!at) return std::nullopt;
  const std::string where = info == nullptr ? "" : guest_ranges(*info, *at, 1);
  return fmt::format("{}: contents differ at offset {} ({:#x}){}", name, *at, *at, where);
}

std::string title(const RegionInfo& region) { return fmt::format("{} {}", kind_name(region.kind), printable(region.name)); }

Difference missing_region(Reader& in, Reader& from, const std::string& from_name) {
  for (const RegionInfo& region : in.regions()) {
    if (!from.find(region.kind, region.name)) return fmt::format("{} is not in {}", title(region), from_name);
  }
  return std::nullopt;
}

Difference compare_snapshots(Side& a, Side& b, Tally& tally) {
  if (a.reader().digest() == b.reader().digest()) return std::nullopt;
  if (auto missing = missing_region(a.reader(), b.reader(), b.name())) return missing;
  if (auto missing = missing_region(b.reader(), a.reader(), a.name())) return missing;
  for (std::size_t i = 0; i < a.reader().regions().size(); ++i) {
    const RegionInfo& region = a.reader().regions()[i];
    const std::size_t other = b.reader().find(region.kind, region.name).value();
    if (a.reader().region_digest(i) == b.reader().region_digest(other)) continue;
    if (auto difference = compare_regions({a, i, b, other}, title(region), &region, tally)) return difference;
    const RegionInfo& twin = b.reader().regions()[other];
    if (region.placements != twin.placements) return title(region) + ": the guest sees it at other addresses";
    if (region.guest_page_log2 != twin.guest_page_log2) return title(region) + ": guest page sizes differ";
  }
  return std::nullopt;
}

Difference compare_with_raw(Side& a, Side& b, const std::string& wanted, Tally& tally) {
  Side& snapshot = a.raw() ? b : a;
  if (wanted == "all") fail_usage("--region: compare takes one region");
  const std::size_t region = choose_regions(snapshot.reader(), wanted, snapshot.name()).front();
  const RegionInfo& info = snapshot.reader().regions()[region];
  return compare_regions({a, region, b, region}, title(info), &info, tally);
}

int compare(const CompareArgs& args) {
  if (args.a == "-" && args.b == "-") fail_usage("standard input can be one side only");
  Tally tally;
  Difference difference;
  {
    const Progress progress(want_progress(args.progress, args.quiet), tally);
    Side a(args.a, args, tally), b(args.b, args, tally);
    if (a.raw() == b.raw() && !args.region.empty()) fail_usage("--region goes with one raw file and one snapshot");
    difference = a.raw() && b.raw()   ? compare_regions({a, 0, b, 0}, "raw memory", nullptr, tally)
                 : a.raw() || b.raw() ? compare_with_raw(a, b, args.region, tally)
                                      : compare_snapshots(a, b, tally);
  }
  if (!args.quiet) print(difference ? *difference + "\n" : "the contents are the same\n");
  return difference ? kExitDiffers : kExitOk;
}

}  // namespace

Command add_compare(Options& options) {
  auto args = std::make_shared<CompareArgs>();
  options.text("--region", args->region, "NAME", "Which region a raw file is compared with; the main memory by default");
  options.parents(args->parents);
  options.threads(args->threads);
  options.flag("-p", args->progress, "Show progress even where stderr is not a terminal");
  options.flag("-q", args->quiet, "Only the exit status: 0 same, 1 different, more than 1 an error");
  options.operand("A", args->a, "A file of any format that convert reads");
  options.operand("B", args->b, "Another");
  return [args] { return compare(*args); };
}

}  // namespace snap::tool

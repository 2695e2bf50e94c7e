// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <string>

#include "changes.h"
#include "commands.h"
#include "emit.h"
#include "open.h"
#include "snap/reader.h"
#include "snap/restore.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr std::size_t kPrintBytes = 64u << 10;

struct MapArgs {
  std::string file, region;
  std::string output = "human";
};

/// What is listed, printed piece by piece: a guest may have millions of changes.
class Lines {
 public:
  void add(std::string_view text) {
    text_ += text;
    if (text_.size() >= kPrintBytes) flush();
  }
  void flush() {
    print(text_);
    text_.clear();
  }

 private:
  std::string text_;
};

std::string range_text(const RegionInfo& region, const ChangedRange& range) {
  return fmt::format("{:<16} {:>#14x} {:>#12x}{}{}\n", printable(region.name), range.offset, range.length, range.zero ? "  zero" : "",
                     guest_ranges(region, range.offset, range.length));
}

std::uint64_t pages_of(std::uint64_t bytes) { return bytes / kPageBytes + (bytes % kPageBytes != 0 ? 1 : 0); }

/// All memory unless --region says otherwise; a snapshot without memory has nothing to list.
std::vector<std::size_t> listed_regions(const Reader& reader, const MapArgs& args, const std::string& file) {
  if (!args.region.empty()) return choose_regions(reader, args.region, file);
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < reader.regions().size(); ++i) {
    if (reader.regions()[i].kind == RegionKind::kMemory) all.push_back(i);
  }
  return all;
}

int map(const MapArgs& args) {
  Input input(args.file, Format::kVmsnap);
  const auto reader = Reader::open(input.source(), {.cache_bytes = 8u << 20, .without_parent = true});
  if (!reader) input.fail(reader.error());
  const bool as_json = args.output == "json";
  const char* separator = "[\n  ";
  Lines lines;
  std::uint64_t listed = 0, pages = 0;
  for (const std::size_t index : listed_regions(**reader, args, input.name())) {
    const RegionInfo& region = (*reader)->regions()[index];
    pages += pages_of(region.size);
    const auto done = visit_changes(**reader, index, [&](const ChangedRange& range) -> Result<void> {
      listed += pages_of(range.length);
      if (!as_json) return lines.add(range_text(region, range)), Result<void>();
      lines.add(separator + change_json(region, range));
      separator = ",\n  ";
      return {};
    });
    if (!done) lines.flush(), input.fail(done.error());
  }
  if (as_json) {
    lines.add(listed == 0 ? "[]\n" : "\n]\n");
  } else {
    const char* what = (*reader)->parent_ref() ? "differ from the parent" : "are not zero";
    const double share = pages == 0 ? 0 : static_cast<double>(listed) / static_cast<double>(pages);
    lines.add(fmt::format("{} of {} pages {} ({})\n", listed, pages, what, percent(share)));
  }
  lines.flush();
  return kExitOk;
}

}  // namespace

Command add_map(Options& options) {
  auto args = std::make_shared<MapArgs>();
  options.text("--region", args->region, "NAME|all", "Only this region or state; by default all of the memory");
  options.output(args->output);
  options.operand("FILE", args->file, "A snapshot");
  return [args] { return map(*args); };
}

}  // namespace snap::tool

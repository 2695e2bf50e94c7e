// SPDX-License-Identifier: Apache-2.0
// The working set stored in a snapshot: printed, stored, removed.
#include "snap/working_set.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "open.h"
#include "progress.h"
#include "recording.h"
#include "signals.h"
#include "text.h"

namespace snap::tool {
namespace {

using Json = nlohmann::ordered_json;

struct WorkingSetArgs {
  std::string file, recording;
  std::string output = "human";
  bool remove = false, quiet = false;
};

std::unique_ptr<Reader> open_alone(RandomSource& source, Input& input) {
  auto reader = Reader::open(source, {.cache_bytes = 0, .without_parent = true});
  if (!reader) input.fail(reader.error());
  return std::move(*reader);
}

Json ranges_json(const Input& input, const Reader& reader, const std::vector<TouchedRange>& ranges) {
  Json json{{"file", input.name()}, {"digest", to_hex(reader.digest())}, {"bytes", touched_bytes(reader, ranges)}, {"ranges", Json::array()}};
  for (const TouchedRange& range : ranges) {
    const RegionInfo& region = reader.regions()[range.region];
    json["ranges"].push_back({{"region", region.name}, {"offset", range.first_page * kPageBytes}, {"bytes", range_bytes(region, range)}});
  }
  return json;
}

int print_stored(Input& input, const WorkingSetArgs& args) {
  const auto reader = open_alone(input.source(), input);
  const auto ranges = read_working_set(input.source());
  if (!ranges) input.fail(ranges.error());
  if (args.output == "json") {
    print(ranges_json(input, *reader, *ranges).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  } else if (!ranges->empty()) {
    print(recording_text(*reader, *ranges));
  }
  if (!ranges->empty()) return kExitOk;
  say(fmt::format("{}: has no working set", input.name()));
  return kExitNotFound;
}

/// In the kernel, where file systems that can share the blocks; answers how far that went.
std::uint64_t copy_in_kernel(int from, int to, std::uint64_t bytes) {
  constexpr std::uint64_t kStep = 64u << 20;
  off_t at = 0;
  while (static_cast<std::uint64_t>(at) < bytes && !cancelled()) {
    if (::copy_file_range(from, &at, to, nullptr, std::min(kStep, bytes - static_cast<std::uint64_t>(at)), 0) <= 0) break;
  }
  return static_cast<std::uint64_t>(at);
}

/// What the kernel did not copy, errors too, is copied by hand.
Result<void> write_edited(Input& input, const std::vector<TouchedRange>& ranges, Output& output) {
  const auto edit = edit_working_set(input.source(), ranges);
  if (!edit) return edit.error();
  const std::uint64_t copied = copy_in_kernel(input.fd(), output.fd(), edit->front_bytes);
  const auto rest = range_stream(input.source(), copied, edit->front_bytes - copied);
  std::vector<std::byte> piece(1u << 20);
  for (;;) {
    const auto count = read_full(*rest, piece);
    if (!count) return count.error();
    if (*count == 0) return output.sink().write(edit->end);
    if (const auto written = output.sink().write(std::span(piece).first(*count)); !written) return written;
  }
}

/// Beside the file, looked at, and only then in its place, with its mode and, where that is allowed, its owner.
int replace(Input& input, const WorkingSetArgs& args) {
  if (args.file == "-" || !S_ISREG(input.status().st_mode)) fail_usage(fmt::format("{}: only a regular file is changed", input.name()));
  const auto reader = open_alone(input.source(), input);
  std::vector<TouchedRange> ranges;
  if (!args.remove) ranges = read_recording(args.recording, *reader);
  if (!args.remove && ranges.empty()) fail_usage(fmt::format("{}: has no ranges; --remove takes away what is stored", args.recording));
  Output output(input.name(), input);
  if (const auto written = write_edited(input, ranges, output); !written) fail_between(written.error(), input, output);
  GuardedSource again(file_source(output.fd()));
  if (open_alone(again, input)->digest() != reader->digest() || must(read_working_set(again), output.name()) != ranges) {
    throw Failure{kExitIo, fmt::format("{}: what was written is not what is read again; nothing was changed", input.name())};
  }
  keep_mode(output.fd(), input);
  output.commit();
  if (args.quiet) return kExitOk;
  say(args.remove ? fmt::format("{}: has no working set now", input.name())
                  : fmt::format("{}: working set stored: {}, {}", input.name(), plural(ranges.size(), "range"), human_bytes(touched_bytes(*reader, ranges))));
  return kExitOk;
}

int working_set(const WorkingSetArgs& args) {
  const bool changes = args.remove || !args.recording.empty();
  if (args.remove && !args.recording.empty()) fail_usage("--store and --remove exclude each other");
  if (changes && args.output == "json") fail_usage("--output is for printing, not for --store or --remove");
  Input input(args.file, Format::kVmsnap);
  return changes ? replace(input, args) : print_stored(input, args);
}

}  // namespace

Command add_working_set(Options& options) {
  auto args = std::make_shared<WorkingSetArgs>();
  options.text("--store", args->recording, "W", "Put this recording into FILE, in place of what it has; - is stdin");
  options.flag("--remove", args->remove, "Take the working set out of FILE");
  options.output(args->output);
  options.flag("-q", args->quiet, "Say nothing about what was done");
  options.operand("FILE", args->file, "A snapshot; --store and --remove replace it");
  return [args] { return working_set(*args); };
}

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "emit.h"
#include "ingest.h"
#include "new_parent.h"
#include "open.h"
#include "progress.h"
#include "signals.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr std::uint64_t kMinBlock = 16u << 10, kMaxBlock = 4u << 20;  // SPEC 15

struct ConvertArgs {
  std::string input_format, output_format = "vmsnap";
  std::string snapshot, region, name, parent;
  ParentPlaces parents;
  std::vector<std::string> writer_options;
  unsigned threads = 0;
  bool progress = false, quiet = false, lossless = false;
  std::string source, destination;
};

/// What a conversion did, for the summary and the exit status.
struct Outcome {
  std::uint64_t in = 0, out = 0;
  int status = kExitOk;
  std::string note{};  ///< after the summary; said even with -q where the status is not kExitOk
};

Format format_option(const char* option, const std::string& name) {
  if (const auto format = format_from_name(name)) return *format;
  fail_usage(fmt::format("{} {}: no such format; there are vmsnap, raw, qcow2, vmstate", option, name));
}

void set_codec(WriterOptions& options, std::string_view value) {
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    if (value == codec_name(codec)) {
      options.codec = codec;
      return;
    }
  }
  fail_usage(fmt::format("codec={}: lz4, zstd and store are known", value));
}

void set_delta(WriterOptions& options, std::string_view value) {
  static constexpr std::pair<std::string_view, DeltaForm> kForms[] = {
      {"auto", DeltaForm::kAuto}, {"raw", DeltaForm::kRaw}, {"xor", DeltaForm::kXor}, {"dictionary", DeltaForm::kDictionary}};
  for (const auto& [name, form] : kForms) {
    if (value == name) {
      options.delta = form;
      return;
    }
  }
  fail_usage(fmt::format("delta={}: auto, raw, xor and dictionary are known", value));
}

void set_option(WriterOptions& options, std::string_view item) {
  const auto equals = item.find('=');
  const std::string_view key = item.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : item.substr(equals + 1);
  if (key == "block_size") {
    const auto bytes = parse_bytes(value);
    if (!bytes || *bytes < kMinBlock || *bytes > kMaxBlock || !std::has_single_bit(*bytes)) {
      fail_usage(fmt::format("block_size={}: a power of two from 16K to 4M is needed", value));
    }
    options.block_bytes = static_cast<std::uint32_t>(*bytes);
  } else if (key == "codec") {
    set_codec(options, value);
  } else if (key == "level") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.level);
    if (error != std::errc{} || end != value.data() + value.size()) fail_usage(fmt::format("level={}: not a number", value));
  } else if (key == "delta") {
    set_delta(options, value);
  } else {
    fail_usage(fmt::format("-o {}: block_size=, codec=, level= and delta= are known", item));
  }
}

void check_level(const WriterOptions& options) {
  const int level = options.level;
  if (level == WriterOptions::kDefaultLevel) return;
  if (options.codec == Codec::kStore) fail_usage("codec=store has no levels");
  if (options.codec == Codec::kLz4 && (level < 1 || level > 12)) fail_usage("lz4 has the levels 1 to 12");
  if (options.codec == Codec::kZstd && (level < -100 || level == 0 || level > 22)) {
    fail_usage("zstd has the levels 1 to 22, and -1 to -100");
  }
}

/// "block_size=64K,codec=lz4", any number of times; a later value counts.
WriterOptions writer_options(const ConvertArgs& args) {
  WriterOptions options{.threads = args.threads, .spool_dir_fd = temporary_directory()};
  for (const std::string& list : args.writer_options) {
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      set_option(options, std::string_view(list).substr(begin, end - begin));
      begin = end + 1;
    }
  }
  check_level(options);
  return options;
}

/// Options that say something about a format other than those at hand are a mistake, not to be passed over.
void refuse_misplaced(const ConvertArgs& args, const Input& input, Format to) {
  const Format from = input.format();
  const bool vm_state = from == Format::kQcow2 || from == Format::kVmstate;
  const std::string is = fmt::format("; {} is {}", input.name(), format_name(from));
  if (!args.snapshot.empty() && from != Format::kQcow2) fail_usage("-l chooses a snapshot of a qcow2 image" + is);
  if (args.lossless && !vm_state) fail_usage("--lossless is for qcow2 and vmstate inputs" + is);
  if (!args.name.empty() && from != Format::kRaw) fail_usage("--name names the region of a raw input" + is);
  if (!args.parent.empty() && to != Format::kVmsnap) fail_usage("-B goes with -O vmsnap");
  if (!args.region.empty() && to != Format::kRaw) fail_usage("--region goes with -O raw");
  if (!args.writer_options.empty() && to != Format::kVmsnap) fail_usage("-o goes with -O vmsnap");
  if (to == Format::kQcow2) fail_usage("-O qcow2: vmsnap reads qcow2 images but does not write them");
}

bool chooses_block_size(const ConvertArgs& args) {
  return std::any_of(args.writer_options.begin(), args.writer_options.end(),
                     [](const std::string& list) { return list.starts_with("block_size=") || list.find(",block_size=") != list.npos; });
}

Outcome to_vmsnap(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  WriterOptions how = writer_options(args);
  std::optional<NewParent> parent;
  if (!args.parent.empty()) {
    parent.emplace(args.parent, args.parents, args.threads, tally);
    parent->refuse_as_output(args.destination);
    parent->set(how, chooses_block_size(args));
  }
  const auto taken = ingest(input, output.sink(), how, options, tally);
  if (!taken && parent && taken.error().ancestor != 0) parent->fail(taken.error());
  if (!taken) fail_between(taken.error(), input, output);
  return {.in = *taken, .out = output.sink().taken_bytes()};
}

Outcome to_raw(Input& input, Output& output, const ConvertArgs& args, const IngestOptions& options, Tally& tally) {
  if (input.format() == Format::kVmsnap && !input.seekable()) {
    input.stream().count_in(tally.done);
    const auto bytes = emit_raw_stream(input, args.region, args.parents, output);
    if (!bytes) fail_between(bytes.error(), input, output);
    return {.in = input.stream().taken_bytes(), .out = *bytes};
  }
  Snapshot snapshot(input, options, tally);
  const auto regions = choose_regions(snapshot.reader(), args.region, input.name());
  const auto bytes = emit_raw(snapshot.reader(), regions, output, args.threads, tally);
  if (!bytes && bytes.error().ancestor != 0) snapshot.fail(bytes.error());
  if (!bytes) fail_between(bytes.error(), input, output);
  return {.in = input.size(), .out = *bytes};
}

Outcome to_vmstate(Input& input, Output& output, const ConvertArgs&, const IngestOptions& options, Tally& tally) {
  Snapshot snapshot(input, options, tally);
  const auto exported = export_vmstate(snapshot.reader(), output.sink(), &cancel_flag());
  if (!exported && exported.error().ancestor != 0) snapshot.fail(exported.error());
  if (!exported) fail_between(exported.error(), input, output);
  const bool differs = exported->digest_known && !exported->identical;
  const char* note = differs                  ? "differs from the VM state that was imported"
                     : exported->digest_known ? "identical to the VM state that was imported"
                                              : "no digest was recorded to tell whether this is the VM state that was imported";
  return {.in = input.size(), .out = exported->bytes, .status = differs ? kExitDiffers : kExitOk, .note = note};
}

int convert(const ConvertArgs& args) {
  const Format to = format_option("-O", args.output_format);
  const auto from = args.input_format.empty() ? std::nullopt : std::optional(format_option("-f", args.input_format));
  writer_options(args);  // a mistake there is said before a file is touched
  const Stopwatch watch;
  Input input(args.source, from);
  refuse_misplaced(args, input, to);
  Output output(args.destination, input);
  IngestOptions options{.snapshot = args.snapshot, .lossless = args.lossless, .threads = args.threads, .parents = args.parents};
  if (!args.name.empty()) options.region_name = args.name;

  Tally tally;
  Outcome outcome;
  {
    const Progress progress(want_progress(args.progress, args.quiet), tally);
    const auto run = to == Format::kVmsnap ? to_vmsnap : to == Format::kRaw ? to_raw : to_vmstate;
    outcome = run(input, output, args, options, tally);
    output.commit();
  }
  if (!args.quiet) say(fmt::format("{}: {}", output.name(), summary_line(outcome.in, outcome.out, watch.seconds())));
  const bool matters = !args.quiet || outcome.status != kExitOk;
  if (matters && !outcome.note.empty()) say(fmt::format("{}: {}", output.name(), outcome.note));
  return outcome.status;
}

}  // namespace

Command add_convert(Options& options) {
  auto args = std::make_shared<ConvertArgs>();
  options.text("-f", args->input_format, "FMT", "Format of SRC: vmsnap, raw, qcow2, vmstate; detected where not given");
  options.text("-O", args->output_format, "FMT", "Format of DST: vmsnap (the default), raw, vmstate");
  options.text("-l", args->snapshot, "SNAPSHOT", "ID or name of the snapshot in a qcow2 image");
  options.text("-B", args->parent, "PARENT", "Write DST as a difference against this snapshot");
  options.parents(args->parents);
  options.texts("-o", args->writer_options, "KEY=VALUE,...",
                "For a vmsnap DST: block_size=16K...4M, codec=zstd|lz4|store, level=N, delta=auto|raw|xor|dictionary");
  options.threads(args->threads);
  options.flag("-p", args->progress, "Show progress even where stderr is not a terminal");
  options.flag("-q", args->quiet, "No progress, no summary");
  options.flag("--lossless", args->lossless, "Make sure that -O vmstate will give the VM state back byte for byte");
  options.text("--region", args->region, "NAME|all", "For a raw DST: another region than the main memory, or all of the memory");
  options.text("--name", args->name, "REGION", "For a raw SRC: the name of its region; 'ram' by default");
  options.operand("SRC", args->source, "The input; - is stdin");
  options.operand("DST", args->destination, "The output; - is stdout");
  return [args] { return convert(*args); };
}

}  // namespace snap::tool

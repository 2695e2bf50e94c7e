// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base_store.h"
#include "chain.h"
#include "clone.h"
#include "commands.h"
#include "text.h"

namespace snap::tool {
namespace {

using Json = nlohmann::ordered_json;

struct BaseArgs {
  std::string action, directory, output = "human";
  std::vector<std::string> bases;
  ParentPlaces parents;
  unsigned threads = 0;
  bool all = false, progress = false, quiet = false;
};

Json json_of(const BaseStore::Kept& kept) {
  return {{"digest", kept.digest}, {"region", kept.region}, {"bytes", kept.bytes}, {"path", kept.path}, {"keeper", kept.keeper}, {"in_use", kept.used}};
}

int list_bases(const BaseArgs& args) {
  BaseStore store(args.directory);
  const auto all = store.list();
  if (args.output == "json") {
    Json json = Json::array();
    for (const auto& kept : all) json.push_back(json_of(kept));
    print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return kExitOk;
  }
  for (const auto& kept : all) {
    print(fmt::format("{}  {:<10} {:>10}  {}{}\n", kept.digest, printable(kept.region), human_bytes(kept.bytes), kept.path, kept.used ? "  in use" : ""));
  }
  return kExitOk;
}

/// A base by its digest, or by the beginning of one that only one has; or by its file.
bool is_meant(const std::string& base, const BaseStore::Kept& kept) {
  constexpr std::size_t kLeastDigits = 8;
  const bool digits = base.size() >= kLeastDigits && base.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (digits) return kept.digest.starts_with(base);
  const auto digest = snapshot_digest(base);
  if (!digest) fail_usage(fmt::format("{}: is no snapshot, and no digest of one", printable(base)));
  return to_hex(*digest) == kept.digest;
}

int drop_bases(const BaseArgs& args) {
  if (args.all == !args.bases.empty()) fail_usage("base drop: which ones, or --all");
  BaseStore store(args.directory);
  const auto all = store.list();
  int status = kExitOk;
  const auto drop = [&](const BaseStore::Kept& kept) {
    if (store.drop(kept)) return;
    say(fmt::format("{}: is in use, and stays", kept.digest));
    status = kExitIo;
  };
  if (args.all) {
    for (const auto& kept : all) {
      if (!kept.used) drop(kept);
    }
  }
  for (const std::string& base : args.bases) {
    bool found = false;
    for (const auto& kept : all) {
      if (!is_meant(base, kept)) continue;
      found = true;
      drop(kept);
    }
    if (!found) throw Failure{kExitNotFound, fmt::format("{}: is not kept here", printable(base))};
  }
  return status;
}

int load_bases(const BaseArgs& args) {
  if (args.bases.empty()) fail_usage("base load: which snapshot");
  BaseStore store(args.directory);
  Json json = Json::array();
  for (const std::string& base : args.bases) {
    Input input(base);
    if (input.format() != Format::kVmsnap || !input.seekable()) fail_usage(fmt::format("{}: is no snapshot in a file", input.name()));
    OpenSnapshot opened(input, args.parents);
    const std::size_t region = base_region(opened.reader(), input.name());
    const RegionInfo& ram = opened.reader().regions()[region];
    Tally tally;
    BaseStore::Memory memory;
    {
      const Progress progress(want_progress(args.progress, args.quiet), tally);
      memory = store.open(opened.reader(), region, input.name(), args.threads, tally);
    }
    const auto arguments = Clone::ram_arguments(ram, memory.path);
    if (args.output == "json") {
      json.push_back({{"file", input.name()}, {"digest", to_hex(opened.reader().digest())}, {"path", memory.path}, {"made", memory.made}, {"qemu", arguments}});
    } else {
      print(fmt::format("{}\n", fmt::join(arguments, " ")));
    }
  }
  if (args.output == "json") print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  return kExitOk;
}

int base(const BaseArgs& args) {
  if (args.action != "drop" && args.all) fail_usage("--all goes with base drop");
  if (args.action == "list") {
    if (!args.bases.empty()) fail_usage("base list takes no bases");
    return list_bases(args);
  }
  if (args.action == "drop") return drop_bases(args);
  if (args.action == "load") return load_bases(args);
  fail_usage(fmt::format("base {}: there are list, load and drop", printable(args.action)));
}

}  // namespace

Command add_base(Options& options) {
  auto args = std::make_shared<BaseArgs>();
  options.text("--base-dir", args->directory, "DIR", "Where bases are registered; by default vmsnap in $XDG_RUNTIME_DIR or /run");
  options.flag("--all", args->all, "drop: all that are not in use");
  options.parents(args->parents);
  options.threads(args->threads);
  options.output(args->output);
  options.flag("-p", args->progress, "Show progress even where stderr is not a terminal");
  options.flag("-q", args->quiet, "No progress");
  options.operand("ACTION", args->action, "list; load: decode a base now, and print QEMU's options for it; drop");
  options.optional_operands("BASE", args->bases, "A snapshot; drop: or the beginning of its digest");
  return [args] { return base(*args); };
}

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
#include "snap/check.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "chain.h"
#include "commands.h"
#include "open.h"
#include "progress.h"
#include "report.h"
#include "signals.h"
#include "text.h"

namespace snap::tool {
namespace {

using Json = nlohmann::ordered_json;

struct CheckArgs {
  std::vector<std::string> files;
  ParentPlaces parents;
  std::string output = "human";
  unsigned threads = 0;
  bool repair = false, quiet = false;
  bool as_json() const { return output == "json"; }
};

const char* damage_name(DamageKind kind) {
  switch (kind) {
    case DamageKind::kHeader:
      return "header";
    case DamageKind::kRecord:
      return "record";
    case DamageKind::kBlock:
      return "block";
    case DamageKind::kIndex:
      return "index";
    case DamageKind::kTrailer:
      return "trailer";
    case DamageKind::kGap:
      return "gap";
    case DamageKind::kContent:
      return "content";
    case DamageKind::kParent:
      return "parent";
  }
  return "record";
}

/// Incomplete where all that is wrong is that something lacks at the end; the kind of every fault counts otherwise.
int status_of(const CheckReport& report) {
  if (report.clean()) return kExitOk;
  int status = kExitIncomplete;
  for (const Damage& damage : report.damages) {
    if (damage.error.code == Code::kTruncated) continue;
    status = exit_status(damage.error);
    if (status == kExitDamaged) break;
  }
  return status;
}

const char* status_name(int status, bool repaired) {
  if (repaired) return "repaired";
  return status == kExitOk            ? "clean"
         : status == kExitIncomplete  ? "incomplete"
         : status == kExitUnsupported ? "unsupported"
                                      : "damaged";
}

const RegionInfo* find_region(const CheckReport& report, const std::string& name) {
  const auto found =
      std::find_if(report.regions.begin(), report.regions.end(), [&](const RegionInfo& each) { return each.name == name; });
  return found == report.regions.end() ? nullptr : &*found;
}

Json lost_json(const CheckReport& report, const LostRange& range) {
  Json json{{"region", range.region}, {"offset", range.offset}, {"bytes", range.length}, {"guest", Json::array()}};
  const RegionInfo* region = find_region(report, range.region);
  if (region == nullptr) return json;
  for (const Placement& placement : region->placements) {
    const Placement part = clip(placement, range.offset, range.length);
    if (part.length != 0) json["guest"].push_back({{"guest_address", part.guest_address}, {"bytes", part.length}});
  }
  return json;
}

/// The parents of a file being checked, as far as they are to be had.
class CheckedParents {
 public:
  CheckedParents(Input& input, const ParentPlaces& places) : chain_(places) {
    unsigned depth = 0;
    const auto parent = parent_of(input.source(), depth);
    if (!parent) return;
    try {
      nearest_ = &chain_.open(*parent, depth, input.name(), input.directory());
    } catch (const Failure& failure) {
      if (failure.status > 128) throw;
      lacking_ = failure;
    }
  }
  Reader* nearest() { return nearest_; }
  const Chain& chain() const { return chain_; }
  /// Why there is none, where there should be.
  const std::optional<Failure>& lacking() const { return lacking_; }

 private:
  /// Named at the front of the file and at its end: either may be damaged. What is wrong with both the check will tell.
  static std::optional<ParentRef> parent_of(RandomSource& source, unsigned& depth) {
    if (const auto parent = read_parent_ref(source, &depth)) return *parent;
    const auto info = read_parent_info(source);
    if (!info) return std::nullopt;
    depth = info->depth;
    return info->parent;
  }

  Chain chain_;
  Reader* nearest_ = nullptr;
  std::optional<Failure> lacking_;
};

Json report_json(const std::string& file, const CheckReport& report, const Chain& chain, bool repaired) {
  Json json{{"file", file}, {"status", status_name(status_of(report), repaired)}, {"file_bytes", report.file_bytes}};
  json["blocks_checked"] = report.blocks_checked;
  json["digest"] = report.lost_bytes == 0 ? Json(to_hex(report.digest)) : Json(nullptr);
  json["parent_digest"] = report.parent ? Json(to_hex(report.parent->digest)) : Json(nullptr);
  json["content_compared"] = report.content_compared;
  json["complete"] = report.complete;
  json["repairable"] = report.repairable;
  json["damage_count"] = report.damage_count;
  json["damages"] = Json::array();
  for (const Damage& each : report.damages) {
    json["damages"].push_back({{"file", chain.name_of(each.error, file)},
                               {"kind", damage_name(each.kind)},
                               {"code", code_name(each.error.code)},
                               {"offset", each.error.file_offset},
                               {"cause", each.error.what},
                               {"detail", each.error.detail}});
  }
  json["lost_bytes"] = report.lost_bytes;
  json["lost"] = Json::array();
  for (const LostRange& range : report.lost) json["lost"].push_back(lost_json(report, range));
  return json;
}

std::string summary(const CheckReport& report, bool repaired) {
  const char* status = status_name(status_of(report), repaired);
  if (report.clean())
    return fmt::format("{}: {}, {}{}", status, plural(report.blocks_checked, "block"), human_bytes(report.file_bytes),
                       report.content_compared ? "" : "; the content was not compared with its digests, for want of the parent");
  const std::string lost = report.lost_bytes == 0 ? "nothing" : human_bytes(report.lost_bytes);
  const char* outlook = repaired ? "" : report.repairable ? "; --repair mends it" : "; it cannot be repaired";
  return fmt::format("{}: {}, {} lost{}", status, plural(report.damage_count, "fault"), lost, outlook);
}

std::string report_text(const std::string& file, const CheckReport& report, const Chain& chain, bool repaired, bool quiet) {
  std::string text;
  for (const Damage& each : report.damages) {
    const std::string whose = each.error.ancestor == 0 ? "" : chain.name_of(each.error, file) + ": ";
    text += fmt::format("{}: {}: {}{}\n", file, damage_name(each.kind), whose, describe(each.error));
  }
  if (report.damage_count > report.damages.size()) {
    text += fmt::format("{}: {} more faults\n", file, report.damage_count - report.damages.size());
  }
  for (const LostRange& range : report.lost) {
    const RegionInfo* region = find_region(report, range.region);
    text += fmt::format("{}: lost: {} {:#x}-{:#x}{}\n", file, printable(range.region), range.offset,
                        range.offset + (range.length - 1),
                        region == nullptr ? "" : guest_ranges(*region, range.offset, range.length));
  }
  if (quiet && report.clean()) return text;
  return text + fmt::format("{}: {}\n", file, summary(report, repaired));
}

[[noreturn]] void fail_of(const Error& error, Input& input, const CheckedParents& parents) {
  parents.chain().fail_if_theirs(error, input.name());
  input.fail(error);
}

CheckReport check_source(RandomSource& source, Input& input, CheckedParents& parents, const CheckArgs& args) {
  Tally tally;
  tally.total = input.size();
  const Progress progress(want_progress(false, args.quiet), tally);
  auto report = check(source, {.parent = parents.nearest(), .threads = args.threads, .progress = &tally.done, .cancel = &cancel_flag()});
  if (!report) fail_of(report.error(), input, parents);
  if (cancelled()) fail(input.name(), Error{.code = Code::kCancelled});
  return std::move(*report);
}

/// Beside the damaged file, checked, and only then in its place, with its mode and, where that is allowed, its owner.
void repair_file(Input& input, CheckedParents& parents, const CheckArgs& args) {
  const auto file = must(AtomicFile::create(followed(input.name()).c_str()), input.name());
  GuardedSink sink(file->fd());
  const auto repaired = repair(input.source(), sink, {.parent = parents.nearest(), .threads = args.threads, .cancel = &cancel_flag()});
  if (!repaired) fail_of(repaired.error(), input, parents);
  GuardedSource again(file_source(file->fd()));
  if (!check_source(again, input, parents, args).clean()) {
    throw Failure{kExitDamaged, fmt::format("{}: the repaired file has faults as well; nothing was changed", input.name())};
  }
  keep_mode(file->fd(), input);
  must(file->commit(), input.name());
}

int check_file(const std::string& path, const CheckArgs& args, Json& all) {
  Input input(path, Format::kVmsnap);
  if (args.repair && !S_ISREG(input.status().st_mode)) fail_usage(fmt::format("{}: --repair needs a regular file", input.name()));
  CheckedParents parents(input, args.parents);
  const CheckReport report = check_source(input.source(), input, parents, args);
  const bool repaired = args.repair && !report.clean() && report.repairable;
  if (repaired) repair_file(input, parents, args);
  if (args.as_json()) {
    all.push_back(report_json(input.name(), report, parents.chain(), repaired));
  } else {
    print(report_text(input.name(), report, parents.chain(), repaired, args.quiet));
  }
  const int status = repaired ? kExitOk : status_of(report);
  if (!parents.lacking()) return status;
  say(parents.lacking()->message);
  return std::max(status, parents.lacking()->status);
}

int check_all(const CheckArgs& args) {
  if (args.repair && std::find(args.files.begin(), args.files.end(), "-") != args.files.end()) {
    fail_usage("--repair needs a file, not standard input");
  }
  Json all = Json::array();
  int worst = kExitOk;
  for (const std::string& path : args.files) {
    try {
      worst = std::max(worst, check_file(path, args, all));
    } catch (const Failure& failure) {
      if (failure.status > 128) throw;
      say(failure.message);
      all.push_back({{"file", path}, {"status", "error"}, {"error", failure.message}});
      worst = std::max(worst, failure.status);
    }
  }
  if (args.as_json()) print(all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  return worst;
}

}  // namespace

Command add_check(Options& options) {
  auto args = std::make_shared<CheckArgs>();
  options.flag("--repair", args->repair,
               "Make a lost or damaged index or trailer again; the old file stays unless that succeeds");
  options.parents(args->parents);
  options.output(args->output);
  options.threads(args->threads);
  options.flag("-q", args->quiet, "No progress, nothing about clean files");
  options.operands("FILE", args->files, "Snapshots");
  return [args] { return check_all(*args); };
}

}  // namespace snap::tool

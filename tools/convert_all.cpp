// SPDX-License-Identifier: Apache-2.0
#include "convert_all.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ingest.h"
#include "new_parent.h"
#include "progress.h"
#include "text.h"
#include "writer_options.h"

namespace snap::tool {
namespace {

constexpr std::size_t kMostNameBytes = 200;
constexpr const char* kSuffix = ".vmsnap";

/// A snapshot of the image, what chooses it alone, and the name of its file.
struct Part {
  std::string selector;
  std::string file;
};

/// A name of a foreign image as a file name: no way out of the directory, nothing hidden, nothing that looks like an option.
std::string file_name(std::string_view name) {
  std::string out(name.substr(0, kMostNameBytes));
  // Not half a UTF-8 character at the cut.
  while (out.size() < name.size() && !out.empty() && (static_cast<unsigned char>(name[out.size()]) & 0xc0) == 0x80) out.pop_back();
  for (char& each : out) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte < 0x20 || byte == 0x7f || each == '/') each = '_';
  }
  for (std::size_t i = 0; i < out.size() && (out[i] == '.' || out[i] == '-'); ++i) out[i] = '_';
  return out;
}

std::string unique(const std::string& wanted, const std::string& id, std::set<std::string>& taken) {
  std::string name = wanted;
  if (taken.contains(name)) name = fmt::format("{}-{}", wanted, file_name(id));
  for (unsigned n = 2; taken.contains(name); ++n) name = fmt::format("{}-{}", wanted, n);
  taken.insert(name);
  return name;
}

/// What import_qcow2 takes for exactly this one: its ID, or its name where another has that ID.
std::optional<std::string> selector(const std::vector<Qcow2Snapshot>& all, std::size_t index) {
  const auto first = [&](auto member, const std::string& text) {
    return static_cast<std::size_t>(std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.*member == text; }) - all.begin());
  };
  const Qcow2Snapshot& snapshot = all[index];
  if (!snapshot.id.empty() && first(&Qcow2Snapshot::id, snapshot.id) == index) return snapshot.id;
  const bool own_name = !snapshot.name.empty() && first(&Qcow2Snapshot::id, snapshot.name) == all.size() &&
                        first(&Qcow2Snapshot::name, snapshot.name) == index;
  return own_name ? std::optional(snapshot.name) : std::nullopt;
}

std::vector<Part> parts_of(Input& image) {
  const auto all = must(list_qcow2_snapshots(image.source()), image.name());
  std::vector<Part> parts;
  std::set<std::string> taken;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].vm_state_bytes == 0) continue;
    const auto chosen = selector(all, i);
    if (!chosen) {
      throw Failure{kExitDamaged, fmt::format("{}: two snapshots have the ID '{}' and cannot be told apart", image.name(), printable(all[i].id))};
    }
    const std::string wanted = file_name(all[i].name.empty() ? all[i].id : all[i].name);
    parts.push_back({*chosen, unique(wanted.empty() ? "snapshot" : wanted, all[i].id, taken) + kSuffix});
  }
  if (parts.empty()) throw Failure{kExitNotFound, fmt::format("{}: no snapshot with VM state", image.name())};
  return parts;
}

std::string make_directory(const std::string& path) {
  if (path == "-") fail_usage("--all: DST is a directory, not standard output");
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) fail_errno(path, "cannot make the directory");
  if (!std::filesystem::is_directory(path)) fail_usage(fmt::format("{}: is not a directory, which --all needs", path));
  return path;
}

/// The parent of what is to come, noted in `how`.
void adopt(NewParent& parent, WriterOptions& how, const ConvertArgs& args) {
  Tally tally;
  const Progress progress(want_progress(args.progress, args.quiet), tally);
  parent.set_alike(how, args.writer_options, args.threads, tally);
}

Outcome convert_part(Input& image, const Part& part, const std::string& path, NewParent* parent, const WriterOptions& how,
                     const ConvertArgs& args) {
  const Stopwatch watch;
  if (parent != nullptr) parent->refuse_as_output(path);
  Output output(path, image);
  Tally tally;
  Outcome outcome;
  {
    const Progress progress(want_progress(args.progress, args.quiet), tally);
    const IngestOptions options{.snapshot = part.selector, .lossless = args.lossless, .threads = args.threads, .machine = args.machine, .parents = args.parents};
    outcome = store(image, output, parent, how, options, tally);
    output.commit();
  }
  if (!args.quiet) say(fmt::format("{}: {}", printable(output.name()), summary_line(outcome.in, outcome.out, watch.seconds())));
  return outcome;
}

}  // namespace

int convert_all(Input& image, const ConvertArgs& args) {
  const Stopwatch watch;
  const std::vector<Part> parts = parts_of(image);
  const std::filesystem::path directory = make_directory(args.destination);
  const auto path_of = [&](const Part& part) { return (directory / part.file).string(); };
  WriterOptions how = writer_options(args.writer_options, args.threads);
  std::optional<NewParent> parent;
  if (!args.parent.empty()) {
    parent.emplace(args.parent, args.parents);
    for (const Part& part : parts) parent->refuse_as_output(path_of(part));  // before any is written
    adopt(*parent, how, args);
  }
  Outcome total;
  for (const Part& part : parts) {
    const Outcome one = convert_part(image, part, path_of(part), parent ? &*parent : nullptr, how, args);
    total.in += one.in;
    total.out += one.out;
    if (parent || &part == &parts.back()) continue;
    parent.emplace(path_of(part), args.parents);
    adopt(*parent, how, args);
  }
  if (!args.quiet) {
    const std::string count = parts.size() == 1 ? "1 snapshot" : fmt::format("{} snapshots", parts.size());
    say(fmt::format("{}: {}, {}", args.destination, count, summary_line(total.in, total.out, watch.seconds())));
  }
  return kExitOk;
}

}  // namespace snap::tool

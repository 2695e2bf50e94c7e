// SPDX-License-Identifier: Apache-2.0
#include "clone.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>

#include "signals.h"
#include "snap/import.h"
#include "text.h"

namespace snap::tool {
namespace {

/// What QEMU takes as the name of an object.
bool is_object_name(std::string_view name) {
  return !name.empty() && std::isalpha(static_cast<unsigned char>(name[0])) != 0 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

std::size_t base_region(const Reader& reader, const std::string& name) {
  const auto region = main_memory(reader);
  if (region) return *region;
  throw Failure{kExitNotFound, fmt::format("{}: no region counts as the main memory, which a clone has from its base", name)};
}

Clone::Clone(Input& input, const CloneArgs& args, ParentPlaces places, unsigned threads, Tally& tally)
    : threads_(threads), tally_(tally), store_(args.directory) {
  if (input.format() != Format::kVmsnap || !input.seekable()) fail_usage(fmt::format("--clone: {} is no snapshot in a file", input.name()));
  if (!args.base.empty()) {
    places.push_back(args.base);
    if (!is_directory(args.base)) {
      wanted_ = snapshot_digest(args.base);
      if (!wanted_) fail_usage(fmt::format("--base {}: is no snapshot and no directory", printable(args.base)));
    }
  }
  opened_ = std::make_unique<OpenSnapshot>(input, places, [this](Reader& parent, unsigned distance) -> Reader& { return stand_in(parent, distance); });
  const bool is_own = wanted_ ? *wanted_ == reader().digest() : reader().parent() == nullptr;
  if (base_ == nullptr && is_own) take_base(reader());
  if (base_ == nullptr) {
    throw Failure{kExitParent, fmt::format("{}: has the digest {} and is no difference against {}, which has the digest {}", input.name(),
                                           to_hex(reader().digest()), printable(args.base), to_hex(*wanted_))};
  }
  region_ = base_region(reader(), input.name());
  const RegionInfo& theirs = base_->regions()[base_region_];
  if (theirs.name != ram().name || theirs.size != ram().size) {
    throw Failure{kExitUnsupported, fmt::format("{}: its RAM is '{}' of {} bytes, the base's is '{}' of {}: no clone can have it", input.name(),
                                                printable(ram().name), ram().size, printable(theirs.name), theirs.size)};
  }
  if (!is_object_name(ram().name)) {
    throw Failure{kExitUnsupported, fmt::format("{}: QEMU takes no memory file for RAM called '{}'", input.name(), printable(ram().name))};
  }
}

Reader& Clone::stand_in(Reader& parent, unsigned distance) {
  if (wanted_ ? parent.digest() != *wanted_ : distance != 0) return parent;
  take_base(parent);
  held_ = must(hold_with(parent, base_region_, memory_.fd.get()), "the base's memory");
  base_ = held_.get();
  return *held_;
}

void Clone::take_base(Reader& base) {
  base_region_ = base_region(base, "the base");
  memory_ = store_.open(base, base_region_, threads_, tally_);
  base_ = &base;
}

std::vector<std::string> Clone::ram_arguments(const RegionInfo& ram, const std::string& path) {
  return {"-object", fmt::format("memory-backend-file,id={},size={},mem-path={},share=off", ram.name, ram.size, path), "-machine",
          fmt::format("memory-backend={}", ram.name)};
}

RestorePlan Clone::plan(Tally& tally) {
  tally.done = 0;
  tally.total = 0;
  for (std::size_t region = 0; region < reader().regions().size(); ++region) {
    const RegionInfo& info = reader().regions()[region];
    if (info.kind == RegionKind::kMemory && region != region_) tally.total += info.size;
  }
  const ExportOptions how{.threads = threads_, .cancel = &cancel_flag(), .progress = &tally.done};
  const CloneOptions clone{.region = region_, .base = base_};
  return {.write_stream = [this, how, clone](ByteSink& sink) { return export_qemu(reader(), sink, how, clone); },
          .fail = [this](const Error& error) { opened_->fail(error); },
          .arguments = ram_arguments(ram(), fmt::format("/proc/self/fd/{}", memory_.fd.get())),
          .inherited = {memory_.fd.get()}};
}

void Clone::check(Qmp& qmp) {
  const std::string object = "/objects/" + ram().name;
  const auto property = [&](const char* name) { return qmp.run("qom-get", {{"path", object}, {"property", name}}); };
  const auto path = property("mem-path");
  struct stat theirs {}, ours {};
  const bool same = path.is_string() && ::stat(path.get<std::string>().c_str(), &theirs) == 0 && ::fstat(memory_.fd.get(), &ours) == 0 &&
                    theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
  if (same && property("share") == false) return;
  throw Failure{kExitIo, fmt::format("{}: this QEMU does not have the base's memory; start it with {}", qmp.name(),
                                     fmt::join(ram_arguments(ram(), memory_.path), " "))};
}

}  // namespace snap::tool

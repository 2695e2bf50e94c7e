// SPDX-License-Identifier: Apache-2.0
#include "clone.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>

#include "mounted_base.h"
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

/// Whether a process has the whole of a file mapped, and for itself. (What it calls the file says nothing: names are its own.)
bool maps_privately(int process, int fd, std::uint64_t bytes) {
  struct stat status {};
  if (process <= 0 || ::fstat(fd, &status) != 0) return false;
  std::ifstream maps(fmt::format("/proc/{}/maps", process));
  std::uint64_t covered = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin = 0, end = 0, offset = 0, inode = 0;
    unsigned major = 0, minor = 0;
    char access[5] = {};
    if (std::sscanf(line.c_str(), "%llx-%llx %4s %llx %x:%x %llu", &begin, &end, access, &offset, &major, &minor, &inode) != 7) continue;
    if (inode != status.st_ino || makedev(major, minor) != status.st_dev) continue;
    if (access[3] != 'p' || offset != covered) return false;
    covered += end - begin;
  }
  return covered == bytes;
}

/// The value of KEY in an option's KEY=VALUE,...
std::string_view value_of(std::string_view option, std::string_view key) {
  while (!option.empty()) {
    const std::string_view part = option.substr(0, option.find(','));
    if (part.size() > key.size() && part.starts_with(key) && part[key.size()] == '=') return part.substr(key.size() + 1);
    option.remove_prefix(std::min(option.size(), part.size() + 1));
  }
  return {};
}

}  // namespace

std::vector<std::string> without_memory_of(std::span<const std::string> command, std::string_view ram) {
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const std::string_view option = std::string_view(command[i]).substr(command[i].starts_with("--") ? 1 : 0);
    const std::string_view value = i + 1 < command.size() ? std::string_view(command[i + 1]) : std::string_view();
    const bool own = option == "-object" && value.starts_with("memory-backend-") && value_of(value, "id") == ram;
    if (own || option == "-mem-path") {
      ++i;
    } else if (option != "-mem-prealloc") {
      kept.push_back(command[i]);
    }
  }
  return kept;
}

std::size_t base_region(const Reader& reader, const std::string& name) {
  const auto region = main_memory(reader);
  if (region) return *region;
  throw Failure{kExitNotFound, fmt::format("{}: no region counts as the main memory, which a clone has from its base", name)};
}

Clone::Clone(Input& input, const CloneArgs& args, ParentPlaces places, unsigned threads, Tally& tally)
    : threads_(threads), tally_(tally) {
  if (input.format() != Format::kVmsnap || !input.seekable()) fail_usage(fmt::format("--clone: {} is no snapshot in a file", input.name()));
  if (!args.base.empty()) {
    wanted_ = digest_in_view(args.base);
    if (wanted_) {
      view_ = args.base;
    } else {
      places.push_back(args.base);
    }
    if (!is_directory(args.base)) {
      wanted_ = snapshot_digest(args.base);
      if (!wanted_) fail_usage(fmt::format("--base {}: is no snapshot and no directory", printable(args.base)));
    }
  }
  if (view_.empty()) store_.emplace(args.directory);
  opened_ = std::make_unique<OpenSnapshot>(input, places, [this](Reader& parent, unsigned distance, const std::string& name) -> Reader& {
    return stand_in(parent, distance, name);
  });
  const bool is_own = wanted_ ? *wanted_ == reader().digest() : reader().parent() == nullptr;
  if (base_ == nullptr && is_own) take_base(reader(), input.name());
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

Reader& Clone::stand_in(Reader& parent, unsigned distance, const std::string& name) {
  if (wanted_ ? parent.digest() != *wanted_ : distance != 0) return parent;
  take_base(parent, name);
  if (!view_.empty()) return parent;
  held_ = must(hold_with(parent, base_region_, memory_.fd.get()), name);
  base_ = held_.get();
  return *held_;
}

void Clone::take_base(Reader& base, const std::string& name) {
  base_region_ = base_region(base, name);
  memory_ = store_ ? store_->open(base, base_region_, name, threads_, tally_) : memory_in_view(view_, base.regions()[base_region_], base_region_);
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
          .mapped_ram = ram().name,
          .arguments = ram_arguments(ram(), fmt::format("/proc/self/fd/{}", memory_.fd.get())),
          .inherited = {memory_.fd.get()}};
}

void Clone::check(Qmp& qmp) {
  if (maps_privately(qmp.peer(), memory_.fd.get(), ram().size)) return;
  throw Failure{kExitIo, fmt::format("{}: this QEMU does not have the base's memory; start it with {}", qmp.name(),
                                     fmt::join(ram_arguments(ram(), memory_.path), " "))};
}

}  // namespace snap::tool

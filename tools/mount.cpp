// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.h"
#include "daemon.h"
#include "fuse/server.h"
#include "mount_source.h"
#include "open.h"
#include "own_mount.h"
#include "recording.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr unsigned kLeastThreads = 4;  // some wait for the disk
constexpr unsigned kMostThreads = 16;  // each has an answer in memory
constexpr std::size_t kLeastCache = 1u << 20;

struct MountArgs {
  std::string source, directory;
  std::vector<std::string> options;
  ParentPlaces parents;
  std::string record, prefetch;
  bool foreground = false;
  // From `options`:
  view::ServerOptions server;
};

std::uint64_t number_of(std::string_view key, std::string_view text) {
  const auto number = parse_bytes(text);
  if (!number) fail_usage(fmt::format("-o {}={}: is no number", key, printable(text)));
  return *number;
}

/// What mount(8) and fstab(5) may add, which says nothing here.
bool is_for_others(std::string_view key) {
  constexpr std::array<std::string_view, 22> kKnown{"rw",   "defaults", "auto",  "noauto", "user",  "nouser", "users",   "owner",    "group",      "nofail", "_netdev",
                                                    "exec", "noexec",   "suid",  "nosuid", "dev",   "nodev",  "relatime", "norelatime", "noatime", "atime",  "strictatime"};
  return std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end() || key.starts_with("x-") || key.starts_with("comment=");
}

void take_option(std::string_view word, MountArgs& args) {
  const std::size_t equals = word.find('=');
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = equals == word.npos ? std::string_view() : word.substr(equals + 1);
  const bool has_value = equals != word.npos && !value.empty();
  if (key == "threads" && has_value) {
    const std::uint64_t threads = number_of(key, value);
    if (threads < 1 || threads > kMostThreads) fail_usage(fmt::format("-o threads: 1 to {}", kMostThreads));
    args.server.threads = static_cast<unsigned>(threads);
  } else if (key == "cache_size" && has_value) {
    args.server.cache_bytes = number_of(key, value);
    if (args.server.cache_bytes < kLeastCache) fail_usage("-o cache_size: at least 1M");
  } else if (key == "read_ahead" && has_value) {
    args.server.read_ahead_bytes = static_cast<std::size_t>(std::clamp<std::uint64_t>(number_of(key, value), 4u << 10, 16u << 20));
  } else if (key == "parent" && has_value) {
    args.parents.emplace_back(value);
  } else if (key == "record" && has_value) {
    args.record = value;
  } else if (key == "prefetch" && has_value) {
    args.prefetch = value;
  } else if (word == "noprefetch") {
    args.server.prefetch = false;
  } else if (word == "allow_other") {
    args.server.allow_other = true;
  } else if (word == "ro") {
    args.server.read_only = true;
  } else if (!word.empty() && !is_for_others(word)) {
    fail_usage(fmt::format("-o {}: is no option of a mount", printable(word)));
  }
}

void take_options(MountArgs& args) {
  args.server.threads = std::clamp(online_cpus(), kLeastThreads, kMostThreads);
  for (const std::string& list : args.options) {
    for (std::string_view left = list; !left.empty();) {
      const std::size_t comma = std::min(left.find(','), left.size());
      take_option(left.substr(0, comma), args);
      left.remove_prefix(std::min(left.size(), comma + 1));
    }
  }
}

/// Each snapshot that is open has its file open, and those of its parents.
void allow_many_files() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
}

std::string absolute(const std::string& path) { return std::filesystem::absolute(path).lexically_normal().string(); }

class Mount {
 public:
  explicit Mount(MountArgs& args) : args_(args) {}

  int run() {
    const auto log = [this](const std::string& message) { say_once(message); };
    hold_signals();
    ::mallopt(M_MMAP_THRESHOLD, 1 << 20);  // what a large block took goes back to the system
    const std::string directory = resolved();
    args_.server.name = absolute(args_.source);
    args_.server.log = log;
    args_.server.record = !args_.record.empty();
    // What is decoded ahead nobody asks for, so it would be missing.
    if (args_.server.record && args_.prefetch.empty()) args_.server.prefetch = false;
    std::unique_ptr<view::Server> server;
    if (is_directory(args_.source)) {
      if (!args_.record.empty() || !args_.prefetch.empty()) fail_usage("--record and --prefetch are for one snapshot, not for a directory");
      for (std::string& place : args_.parents) place = absolute(place);
      allow_many_files();
      server = view::Server::mount(shelf_of(args_.server.name, args_.parents, log), directory, args_.server);
    } else {
      source_ = open_for_view(args_.source, args_.parents, log);
      if (!args_.prefetch.empty()) args_.server.working_set = read_recording(args_.prefetch, source_->reader());
      if (!args_.record.empty()) {
        args_.record = absolute(args_.record);
        recording_ = must(AtomicFile::create(args_.record.c_str()), args_.record);
      }
      server = view::Server::mount(source_, directory, args_.server);
    }
    if (!server) throw Failure{kExitIo, fmt::format("{}: cannot mount", directory)};
    set_own_mount(directory);
    if (!args_.foreground) {
      in_background_ = true;
      background_.emplace();
    }
    return serve(*server, directory);
  }

 private:
  std::string resolved() const {
    std::error_code error;
    const auto path = std::filesystem::canonical(args_.directory, error);
    if (error || !is_directory(path.string())) {
      throw Failure{kExitNotFound, fmt::format("{}: {}", args_.directory, error ? error.message() : "is no directory")};
    }
    // Who serves a mount must not ask it anything, but has its files opened.
    const auto source = std::filesystem::canonical(args_.source, error);
    const bool hides = !error && holds(path, source);
    const bool is_inside = !error && is_directory(source.string()) && holds(source, path);
    if (hides || is_inside) fail_usage(fmt::format("{}: {} {}, and would be read through the mount", args_.source, is_inside ? "holds" : "lies in", args_.directory));
    return path.string();
  }

  static bool holds(const std::filesystem::path& directory, const std::filesystem::path& path) {
    return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first == directory.end();
  }

  // What goes wrong goes wrong again with each read.
  void say_once(const std::string& message) {
    constexpr std::size_t kMost = 4096;
    const std::lock_guard lock(mutex_);
    if (said_.size() < kMost && said_.insert(message).second) log_line(message, in_background_);
  }

  int serve(view::Server& server, const std::string& directory) {
    const SignalThread signals([&] {
      notify_manager("STOPPING=1");
      server.detach();
    });
    const bool ended_well = server.serve([&] {
      notify_manager(fmt::format("READY=1\nSTATUS={} on {}", args_.server.name, directory));
      if (background_) background_->say_ready();
    });
    if (recording_) try {
      const std::string text = recording_text(source_->reader(), server.recording());
      must(stream_sink(recording_->fd())->write(std::as_bytes(std::span(text))), args_.record);
      must(recording_->commit(), args_.record);
    } catch (const Failure& failure) {
      if (in_background_) log_line(failure.message, true);
      throw;
    }
    return ended_well ? kExitOk : kExitIo;
  }

  MountArgs& args_;
  bool in_background_ = false;
  std::optional<Background> background_;
  std::mutex mutex_;
  std::set<std::string> said_;
  std::shared_ptr<view::Source> source_;
  std::unique_ptr<AtomicFile> recording_;  // gets its name when it is whole
};

}  // namespace

Command add_mount(Options& options) {
  auto args = std::make_shared<MountArgs>();
  options.flag("-f,--foreground", args->foreground, "Stay in the foreground");
  options.texts("-o", args->options, "OPTION,...", "cache_size=SIZE, threads=N, read_ahead=SIZE, allow_other, ro, noprefetch; parent=, record=, prefetch= as the options of those names");
  options.text("--record", args->record, "W", "Write the order in which memory is first touched to the file W, when the mount ends");
  options.text("--prefetch", args->prefetch, "W", "Have what the recording W names decoded before it is touched; by default what the snapshot has stored");
  options.parents(args->parents);
  options.operand("SOURCE", args->source, "A snapshot, or a directory of snapshots");
  options.operand("DIRECTORY", args->directory, "Where it is to be seen");
  return [args] {
    take_options(*args);
    return Mount(*args).run();
  };
}

}  // namespace snap::tool

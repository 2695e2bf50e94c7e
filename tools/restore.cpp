// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "clone.h"
#include "commands.h"
#include "incoming.h"
#include "ingest.h"
#include "process.h"
#include "signals.h"
#include "snap/import.h"
#include "text.h"

namespace snap::tool {
namespace {

struct RestoreArgs {
  std::string socket, source;
  ParentPlaces parents;
  std::vector<std::string> command;
  CloneArgs clone;
  unsigned threads = 0;
  bool exec = false, paused = false, running = false, progress = false, quiet = false;
};

void refuse_misplaced(const RestoreArgs& args) {
  if (args.exec == !args.socket.empty()) fail_usage("--qmp SOCKET, or --exec and a command behind '--'");
  if (args.exec && args.command.empty()) fail_usage("--exec: QEMU's command line goes behind '--'");
  if (!args.exec && !args.command.empty()) fail_usage("a command behind '--' goes with --exec");
  if (!args.clone.clone && !args.clone.base.empty()) fail_usage("--base goes with --clone");
  if (!args.clone.clone && !args.clone.directory.empty()) fail_usage("--base-dir goes with --clone");
  if (args.paused && args.running) fail_usage("--paused and --running exclude each other");
  for (const std::string& word : args.command) {
    const std::string_view option = std::string_view(word).substr(word.starts_with("--") ? 1 : 0);
    if (option == "-incoming") fail_usage("--exec adds -incoming itself");
    if (option == "-daemonize") fail_usage("--exec stays QEMU's parent, in the foreground: no -daemonize");
  }
}

/// The guest as it is to be sent: whole, or what differs from a base.
class Guest {
 public:
  Guest(Input& input, const RestoreArgs& args, Tally& tally) : args_(args), tally_(tally) {
    if (args.clone.clone) {
      clone_ = std::make_unique<Clone>(input, args.clone, args.parents, args.threads, tally);
    } else {
      snapshot_ = std::make_unique<Snapshot>(input, IngestOptions{.threads = args.threads, .parents = args.parents}, tally);
    }
  }

  RestorePlan plan() {
    RestorePlan plan = clone_ ? clone_->plan(tally_) : whole();
    plan.name = args_.source;
    plan.run = args_.running || (!args_.paused && was_running(clone_ ? clone_->reader() : snapshot_->reader()));
    return plan;
  }
  /// Before a QEMU gets it that somebody else started.
  void check(Qmp& qmp) {
    if (clone_) clone_->check(qmp);
  }

 private:
  RestorePlan whole() {
    Reader& reader = snapshot_->reader();
    for (const RegionInfo& info : reader.regions()) tally_.total += info.kind == RegionKind::kMemory ? info.size : 0;
    const ExportOptions how{.threads = args_.threads, .cancel = &cancel_flag(), .progress = &tally_.done};
    return {.write_stream = [&reader, how](ByteSink& sink) { return export_qemu(reader, sink, how); },
            .fail = [this](const Error& error) { snapshot_->fail(error); }};
  }

  const RestoreArgs& args_;
  Tally& tally_;
  std::unique_ptr<Snapshot> snapshot_;
  std::unique_ptr<Clone> clone_;
};

/// QEMU with a monitor of ours, on one end of a pair of sockets.
class Started {
 public:
  Started(std::vector<std::string> command, const RestorePlan& plan) : program_(command[0]) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail_errno(program_, "cannot make its monitor");
    ours_ = Fd(ends[0]);
    const Fd theirs(ends[1]);
    if (!plan.mapped_ram.empty()) command = without_memory_of(command, plan.mapped_ram);
    command.insert(command.end(), {"-incoming", "defer", "-chardev", fmt::format("socket,id=vmsnap-monitor,fd={}", theirs.get()), "-mon",
                                   "chardev=vmsnap-monitor,mode=control"});
    command.insert(command.end(), plan.arguments.begin(), plan.arguments.end());
    std::vector<int> inherited = plan.inherited;
    inherited.push_back(theirs.get());
    process_ = std::make_unique<Process>(command, inherited);
  }

  std::uint64_t give(const RestorePlan& plan, Ahead& stream) {
    try {
      Qmp qmp(std::move(ours_), program_);
      return give_guest(qmp, plan, stream);
    } catch (const Failure& failure) {
      if (failure.status != kExitIo || cancelled()) throw;
      const std::string words = process_->end();
      if (words.empty()) throw;
      throw Failure{kExitIo, fmt::format("{}; it ended with {}; 'vmsnap info {}' tells what the guest needs of it", failure.message, words, printable(plan.name))};
    }
  }
  int wait() { return process_->wait(); }

 private:
  std::string program_;
  Fd ours_;
  std::unique_ptr<Process> process_;
};

/// Answers the QEMU that was started, if one was. What it took is not kept: some stay its parent for long, and many do at once.
std::unique_ptr<Started> give(const RestoreArgs& args) {
  const Stopwatch watch;
  Input input(args.source);
  Tally tally;
  std::unique_ptr<Started> started;
  std::uint64_t bytes = 0;
  {
    const Progress progress(want_progress(args.progress, args.quiet), tally);
    Guest guest(input, args, tally);
    const RestorePlan plan = guest.plan();
    Ahead stream(plan.write_stream);
    if (args.exec) {
      started = std::make_unique<Started>(args.command, plan);
      bytes = started->give(plan, stream);
    } else {
      Qmp qmp(args.socket);
      guest.check(qmp);
      bytes = give_guest(qmp, plan, stream);
    }
  }
  if (!args.quiet) say(fmt::format("{}: {}", input.name(), summary_line(input.size(), bytes, watch.seconds())));
  return started;
}

int restore(const RestoreArgs& args) {
  refuse_misplaced(args);
  const auto started = give(args);
  ::malloc_trim(0);
  return started ? started->wait() : kExitOk;
}

}  // namespace

Command add_restore(Options& options) {
  auto args = std::make_shared<RestoreArgs>();
  options.text("--qmp", args->socket, "SOCKET", "The monitor of a QEMU that waits with -incoming defer");
  options.flag("--exec", args->exec, "Start QEMU, with the command line behind '--', and stay until it ends");
  options.flag("--clone", args->clone.clone, "Map the guest's RAM privately from its base's, and send only what differs");
  options.text("--base", args->clone.base, "FILE|DIR", "The base of a clone, or its folder in a mounted view, or a directory in which it is looked for; by default the guest's own parent");
  options.text("--base-dir", args->clone.directory, "DIR", "Where kept bases are registered; by default vmsnap in $XDG_RUNTIME_DIR or /run");
  options.flag("--paused", args->paused, "Leave the guest stopped");
  options.flag("--running", args->running, "Let the guest run, whether or not it did when it was saved");
  options.parents(args->parents);
  options.threads(args->threads);
  options.flag("-p", args->progress, "Show progress even where stderr is not a terminal");
  options.flag("-q", args->quiet, "No progress, no summary");
  options.operand("FILE", args->source, "The snapshot, or any file that convert reads and QEMU can take");
  options.rest(args->command, "-- COMMAND ...: QEMU's command line, without -incoming");
  return [args] { return restore(*args); };
}

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "incoming.h"
#include "ingest.h"
#include "process.h"
#include "signals.h"
#include "snap/import.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr const char* kRunstateKey = "qemu.runstate";

struct RestoreArgs {
  std::string socket, source;
  ParentPlaces parents;
  std::vector<std::string> command;
  unsigned threads = 0;
  bool exec = false, paused = false, running = false, progress = false, quiet = false;
};

void refuse_misplaced(const RestoreArgs& args) {
  if (args.exec == !args.socket.empty()) fail_usage("--qmp SOCKET, or --exec and a command behind '--'");
  if (args.exec && args.command.empty()) fail_usage("--exec: QEMU's command line goes behind '--'");
  if (!args.exec && !args.command.empty()) fail_usage("a command behind '--' goes with --exec");
  if (args.paused && args.running) fail_usage("--paused and --running exclude each other");
  for (const std::string& word : args.command) {
    const std::string_view option = std::string_view(word).substr(word.starts_with("--") ? 1 : 0);
    if (option == "-incoming") fail_usage("--exec adds -incoming itself");
    if (option == "-daemonize") fail_usage("--exec stays QEMU's parent, in the foreground: no -daemonize");
  }
}

bool ran(const Reader& reader) {
  const auto found = reader.metadata().find(kRunstateKey);
  return found != reader.metadata().end() && found->second == "running";
}

/// The whole guest as a stream.
RestorePlan whole(Snapshot& snapshot, const RestoreArgs& args, Tally& tally) {
  Reader& reader = snapshot.reader();
  for (const RegionInfo& info : reader.regions()) tally.total += info.kind == RegionKind::kMemory ? info.size : 0;
  const ExportOptions how{.threads = args.threads, .cancel = &cancel_flag(), .progress = &tally.done};
  return {.write_stream = [&reader, how](ByteSink& sink) { return export_qemu(reader, sink, how); },
          .fail = [&snapshot](const Error& error) { snapshot.fail(error); },
          .run = args.running || (!args.paused && ran(reader))};
}

/// QEMU with a monitor of ours, on one end of a pair of sockets.
class Started {
 public:
  Started(std::vector<std::string> command, const RestorePlan& plan) : program_(command[0]) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail_errno(program_, "cannot make its monitor");
    ours_ = Fd(ends[0]);
    const Fd theirs(ends[1]);
    command.insert(command.end(), {"-incoming", "defer", "-chardev", fmt::format("socket,id=vmsnap-monitor,fd={}", theirs.get()), "-mon",
                                   "chardev=vmsnap-monitor,mode=control"});
    command.insert(command.end(), plan.arguments.begin(), plan.arguments.end());
    std::vector<int> inherited = plan.inherited;
    inherited.push_back(theirs.get());
    process_ = std::make_unique<Process>(command, inherited);
  }

  std::uint64_t give(const RestorePlan& plan) {
    try {
      Qmp qmp(std::move(ours_), program_);
      return give_guest(qmp, plan);
    } catch (const Failure& failure) {
      if (failure.status != kExitIo || cancelled()) throw;
      const std::string words = process_->end();
      if (words.empty()) throw;
      throw Failure{kExitIo, fmt::format("{}; it ended with {}", failure.message, words)};
    }
  }
  int wait() { return process_->wait(); }

 private:
  std::string program_;
  Fd ours_;
  std::unique_ptr<Process> process_;
};

int restore(const RestoreArgs& args) {
  refuse_misplaced(args);
  const Stopwatch watch;
  Input input(args.source);
  Tally tally;
  Snapshot snapshot(input, {.threads = args.threads, .parents = args.parents}, tally);
  const RestorePlan plan = whole(snapshot, args, tally);
  std::unique_ptr<Started> started;
  std::uint64_t bytes = 0;
  {
    if (args.exec) started = std::make_unique<Started>(args.command, plan);
    const Progress progress(want_progress(args.progress, args.quiet), tally);
    if (started) {
      bytes = started->give(plan);
    } else {
      Qmp qmp(args.socket);
      bytes = give_guest(qmp, plan);
    }
  }
  if (!args.quiet) say(fmt::format("{}: {}", input.name(), summary_line(input.size(), bytes, watch.seconds())));
  return started ? started->wait() : kExitOk;
}

}  // namespace

Command add_restore(Options& options) {
  auto args = std::make_shared<RestoreArgs>();
  options.text("--qmp", args->socket, "SOCKET", "The monitor of a QEMU that waits with -incoming defer");
  options.flag("--exec", args->exec, "Start QEMU, with the command line behind '--', and stay until it ends");
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

// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "ingest.h"
#include "new_parent.h"
#include "outgoing.h"
#include "pipe.h"
#include "signals.h"
#include "text.h"
#include "writer_options.h"

namespace snap::tool {
namespace {

constexpr std::chrono::minutes kMostSilence{5};  // of a QEMU that flushes slow disks

struct SaveArgs {
  std::string socket, parent, destination;
  ParentPlaces parents;
  std::vector<std::string> writer_options;
  unsigned threads = 0;
  bool resume = false, quit = false, progress = false, quiet = false;
};

/// What QEMU sends becomes the output, which has no name yet.
Outcome receive(Qmp& qmp, Outgoing& guest, bool show, Input& input, Output& output, NewParent* parent, const WriterOptions& how,
                const IngestOptions& options) {
  Tally tally;
  const Progress progress(show, tally);
  try {
    const OutgoingWatch watch(show, qmp, tally);
    return store(input, output, parent, how, options, tally);
  } catch (const Failure&) {
    if (input.ended()) guest.fail_if_theirs();
    throw;
  }
}

int save(const SaveArgs& args) {
  if (args.resume && args.quit) fail_usage("--resume and --quit exclude each other");
  WriterOptions how = writer_options(args.writer_options, args.threads);
  const Stopwatch watch;
  Qmp qmp(args.socket);
  Outgoing guest(qmp);
  guest.look();
  Pipe pipe = make_pipe();
  Input input(std::move(pipe.read), args.socket, Format::kQemu);
  input.stream().limit_wait(kMostSilence);
  Output output(args.destination, input);
  // The guest stands still from start() on, and not while its parent is looked at.
  std::optional<NewParent> parent;
  if (!args.parent.empty()) {
    parent.emplace(args.parent, args.parents);
    parent->refuse_as_output(args.destination);
    Tally uncounted;
    parent->set_alike(how, args.writer_options, args.threads, uncounted);
  }
  const IngestOptions options{.threads = args.threads, .metadata = {{std::string(kQemuRunstateKey), guest.runstate()}}};
  guest.start(std::move(pipe.write));
  const bool show = want_progress(args.progress, args.quiet);
  const Outcome outcome = receive(qmp, guest, show, input, output, parent ? &*parent : nullptr, how, options);
  guest.wait_completed();
  output.commit();
  guest.finish(args.resume ? Afterwards::kResumed : args.quit ? Afterwards::kEnded : Afterwards::kStopped);
  if (!args.quiet) say(fmt::format("{}: {}", output.name(), summary_line(outcome.in, outcome.out, watch.seconds())));
  return outcome.status;
}

}  // namespace

Command add_save(Options& options) {
  auto args = std::make_shared<SaveArgs>();
  options.required_text("--qmp", args->socket, "SOCKET", "QEMU's monitor, as -qmp unix:SOCKET,server=on,wait=off makes it");
  options.text("-B", args->parent, "PARENT", "Write the snapshot as a difference against this one");
  options.parents(args->parents);
  options.writer_options(args->writer_options);
  options.threads(args->threads);
  options.flag("--resume", args->resume, "Let the guest go on, if it ran; otherwise it stays stopped");
  options.flag("--quit", args->quit, "End QEMU once the snapshot is safe");
  options.flag("-p", args->progress, "Show progress even where stderr is not a terminal");
  options.flag("-q", args->quiet, "No progress, no summary");
  options.operand("OUT", args->destination, "The snapshot; - is stdout");
  return [args] { return save(*args); };
}

}  // namespace snap::tool

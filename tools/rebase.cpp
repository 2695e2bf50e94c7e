// SPDX-License-Identifier: Apache-2.0
// A snapshot stored anew against another parent, or none.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "ingest.h"
#include "new_parent.h"
#include "open.h"
#include "progress.h"
#include "writer_options.h"

namespace snap::tool {
namespace {

struct RebaseArgs {
  std::string source, destination, parent;  // no parent: it is to stand alone
  ParentPlaces parents;
  std::vector<std::string> writer_options;
  unsigned threads = 0;
  bool progress = false, quiet = false;
  bool in_place() const { return destination.empty(); }
};

void refuse_replacing(const Input& input, const RebaseArgs& args) {
  const bool file = args.source != "-" && S_ISREG(input.status().st_mode);
  if (args.in_place() && !file) fail_usage(fmt::format("{}: only a regular file is replaced; name a DST", input.name()));
}

/// Onto what needs it itself, the snapshot would be a difference against itself.
void refuse_circle(const Input& input, const NewParent& parent) {
  if (parent.is(input.status())) fail_usage(fmt::format("{}: cannot be rebased onto itself", input.name()));
  if (parent.builds_on(input.status())) fail_usage(fmt::format("{}: cannot be rebased onto {}, which builds upon it", input.name(), parent.name()));
}

int rebase(const RebaseArgs& args) {
  WriterOptions how = writer_options(args.writer_options, args.threads);
  const Stopwatch watch;
  Input input(args.source, Format::kVmsnap);
  refuse_replacing(input, args);
  input.source();  // a pipe's content is needed twice
  OpenSnapshot opened(input, args.parents);
  const unsigned depth = opened.reader().depth();
  if (args.parent.empty() && args.in_place() && depth == 0) {
    if (!args.quiet) say(fmt::format("{}: stands alone already", input.name()));
    return kExitOk;
  }
  if (!chooses_block_size(args.writer_options)) how.block_bytes = opened.reader().block_bytes();
  std::optional<NewParent> parent;
  if (!args.parent.empty()) {
    parent.emplace(args.parent, args.parents);
    refuse_circle(input, *parent);
    if (!args.in_place()) parent->refuse_as_output(args.destination);
  }
  if (!args.in_place()) opened.chain().refuse_as_output(args.destination, input.name());
  Output output(args.in_place() ? input.name() : args.destination, input);

  Tally tally;
  Outcome outcome;
  {
    const Progress progress(want_progress(args.progress, args.quiet), tally);
    if (parent) parent->set(how, args.threads, tally);
    const IngestOptions options{.snapshot = {}, .threads = args.threads, .parents = args.parents};
    outcome = store(input, output, parent ? &*parent : nullptr, how, options, tally);
    if (args.in_place()) keep_mode(output.fd(), input);
    output.commit();
  }
  if (!args.quiet) say(fmt::format("{}: {}", output.name(), summary_line(outcome.in, outcome.out, watch.seconds())));
  const unsigned now = parent ? parent->reader().depth() + 1 : 0;
  if (args.in_place() && now > depth) {
    say(fmt::format("{}: counts {} parents now, and {} before: a child made of it before may refuse it ('vmsnap info --tree' tells); "
                    "rebase such a child, or flatten this file",
                    output.name(), now, depth));
  }
  return kExitOk;
}

std::shared_ptr<RebaseArgs> add_common(Options& options) {
  auto args = std::make_shared<RebaseArgs>();
  options.parents(args->parents);
  options.writer_options(args->writer_options);
  options.threads(args->threads);
  options.flag("-p", args->progress, "Show progress even where stderr is not a terminal");
  options.flag("-q", args->quiet, "No progress, no summary");
  options.operand("SRC", args->source, "A snapshot; - is stdin");
  options.optional_operand("DST", args->destination, "The output; - is stdout. Without it SRC is replaced");
  return args;
}

}  // namespace

Command add_flatten(Options& options) {
  const auto args = add_common(options);
  return [args] { return rebase(*args); };
}

Command add_rebase(Options& options) {
  auto args = add_common(options);
  options.required_text("-B", args->parent, "NEW", "The parent that it is to have");
  return [args] { return rebase(*args); };
}

}  // namespace snap::tool

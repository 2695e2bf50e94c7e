// SPDX-License-Identifier: Apache-2.0
// Any input format -> a snapshot.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "chain.h"
#include "open.h"
#include "progress.h"
#include "snap/reader.h"
#include "snap/writer.h"
#include "states.h"

namespace snap::tool {

struct IngestOptions {
  std::string snapshot;             ///< of a qcow2 image
  std::string region_name = "ram";  ///< of raw memory
  bool lossless = false;
  unsigned threads = 1;
  std::vector<StateFile> states{};  ///< taken along with raw memory
  std::string machine{};  ///< the guest's machine type; empty: as the input says
  ParentPlaces parents{};     ///< for a snapshot that is a difference
  std::string destination{};  ///< must be none of its parents; empty where that was looked at
  Metadata metadata{};        ///< recorded beside what the input says, and instead of it
};

/// Makes a snapshot of all that `input` holds; answers how many bytes that is.
Result<std::uint64_t> ingest(Input& input, Destination& destination, const WriterOptions& how, const IngestOptions& options, Tally& tally);

/// What a command did, for its summary and its exit status.
struct Outcome {
  std::uint64_t in = 0, out = 0;
  int status = kExitOk;
  std::string note{};  ///< after the summary; said even with -q where the status is not kExitOk
};

class NewParent;
/// The same into an output, as a difference against `parent` or alone, as `how` says; ends the command where that fails.
Outcome store(Input& input, Output& output, NewParent* parent, const WriterOptions& how, const IngestOptions& options, Tally& tally);

/// A snapshot to be read at random: the input itself, or for another format a temporary one made of it.
class Snapshot {
 public:
  Snapshot(Input& input, const IngestOptions& options, Tally& tally);
  Reader& reader() { return opened_ ? opened_->reader() : *reader_; }
  /// Ends the command with an error of what is read.
  [[noreturn]] void fail(const Error& error);

 private:
  void make_temporary(Input& input, const IngestOptions& options, Tally& tally);

  Input& input_;
  std::unique_ptr<OpenSnapshot> opened_;
  TemporaryFile temporary_;
  std::unique_ptr<GuardedSource> source_;
  std::unique_ptr<Reader> reader_;
};

}  // namespace snap::tool

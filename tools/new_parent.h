// SPDX-License-Identifier: Apache-2.0
// The snapshot against which a new one is written.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "chain.h"
#include "progress.h"
#include "snap/writer.h"

namespace snap::tool {

/// All methods end the command where they fail.
class NewParent {
 public:
  /// Opens it with its own parents.
  NewParent(const std::string& path, const ParentPlaces& places);

  bool is(const struct stat& file) const;
  /// One of its parents is that file.
  bool builds_on(const struct stat& file) const { return opened_.chain().holds(file); }
  /// A file that is the parent, or one of its parents, must not be replaced by the child.
  void refuse_as_output(const std::string& path) const;
  /// Notes where its pages stand, which `tally` counts; the writer's options become those of a child.
  void set(WriterOptions& options, unsigned threads, Tally& tally);
  /// The same, with the parent's block size unless one of the -o `lists` chose another.
  void set_alike(WriterOptions& options, const std::vector<std::string>& lists, unsigned threads, Tally& tally);
  const std::string& name() const { return input_.name(); }
  Reader& reader() { return opened_.reader(); }
  /// Ends the command with an error of the parent, as one that reads its child tells it.
  [[noreturn]] void fail(Error error);

 private:
  Input input_;
  OpenSnapshot opened_;
  std::unique_ptr<ParentPages> pages_;
};

}  // namespace snap::tool

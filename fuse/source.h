// SPDX-License-Identifier: Apache-2.0
// What the view shows: open snapshots, one or a directory of them. Whoever mounts them implements this.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "snap/reader.h"
#include "snap/working_set.h"

namespace snap::view {

/// An open snapshot. All methods may be called from any thread.
class Source {
 public:
  virtual ~Source() = default;
  virtual Reader& reader() = 0;
  /// Of the snapshot's file: whose the view's files are, their mode and times.
  virtual const struct stat& status() const = 0;
  /// What info.json and map.json say.
  virtual std::string info_json() = 0;
  virtual Result<void> write_map_json(ByteSink& sink) = 0;
  /// The order in which its memory is touched, as far as that is known.
  virtual std::vector<TouchedRange> working_set() = 0;
  /// An error with the name of the file that has it.
  virtual std::string explain(const Error& error) const = 0;
  /// The folder of its parent where that is another of the same shelf; else empty, and parent() tells.
  virtual std::string parent_folder() const = 0;
  /// The parent it is open over; null for one that stands alone.
  virtual std::shared_ptr<Source> parent() = 0;
};

/// A directory of snapshots, which come and go.
class Shelf {
 public:
  virtual ~Shelf() = default;
  virtual const struct stat& status() const = 0;
  virtual std::vector<std::string> names() = 0;
  /// Null where there is none of that name, or it cannot be opened, which has then been told of.
  virtual std::shared_ptr<Source> open(const std::string& name) = 0;
  /// Something that is another one when another file has the name; empty where there is no such file.
  virtual std::string identity(const std::string& name) = 0;
};

}  // namespace snap::view

// SPDX-License-Identifier: Apache-2.0
// The parents of a snapshot: found where the user lets them be looked for, opened, kept open.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "open.h"
#include "snap/reader.h"
#include "snap/restore.h"

namespace snap::tool {

/// What --parent names: files, and directories to look in. Beside the child is looked besides.
using ParentPlaces = std::vector<std::string>;

constexpr unsigned kMostParents = 64;  // SPEC 15

/// What its children are opened over in a parent's place, which has the same content; the parent itself where nothing is to take it.
/// Called for each parent of a chain, the furthest first. `distance`: 0 for the snapshot's own parent; `name`: of its file.
using StandIn = std::function<Reader&(Reader& parent, unsigned distance, const std::string& name)>;

/// One snapshot's open parents. All methods end the command where they fail.
class Chain {
 public:
  explicit Chain(ParentPlaces places, StandIn stand_in = nullptr) : places_(std::move(places)), stand_in_(std::move(stand_in)) {}

  /// The parent that a snapshot names, with its own parents. `directory`: of the child, empty where it has none (a pipe).
  /// `child_depth`: the parent's own is less.
  Reader& open(const ParentRef& parent, unsigned child_depth, const std::string& child, const std::string& directory);

  /// The files, the nearest parent first.
  struct Link {
    std::unique_ptr<Input> file;
    ParentInfo info;
    std::unique_ptr<Reader> reader;  // null where its own parents could not be had
  };
  const std::vector<Link>& links() const { return links_; }
  /// The file that an error is about: the child's own, or an ancestor's.
  const std::string& name_of(const Error& error, const std::string& child) const;
  /// Ends the command where the error is an ancestor's.
  void fail_if_theirs(const Error& error, const std::string& child) const;
  bool holds(const struct stat& file) const;
  /// A file of the chain must not be replaced by what is made of the child.
  void refuse_as_output(const std::string& path, const std::string& child) const;

 private:
  struct Found {
    std::unique_ptr<Input> file;
    ParentInfo info;
  };
  Found find(const ParentRef& parent, unsigned child_depth, const std::string& child, const std::string& directory) const;

  ParentPlaces places_;
  StandIn stand_in_;
  std::vector<Link> links_;
};

/// The parents that a snapshot names which comes from a pipe.
class StreamParents {
 public:
  /// `destination`: must be none of them.
  StreamParents(const Input& input, const ParentPlaces& places, std::string destination)
      : input_(input), chain_(places), destination_(std::move(destination)) {}
  FindParent finder();
  /// Ends the command where the error is a parent's.
  void fail_if_theirs(const Error& error) const;

 private:
  const Input& input_;
  Chain chain_;
  std::string destination_;
};

/// The digest of the snapshot in a file, which is not opened any further; nothing where the file is no snapshot. Ends the command where it
/// cannot be read.
std::optional<Digest> snapshot_digest(const std::string& path);

/// An open snapshot with its parents.
class OpenSnapshot {
 public:
  /// `places`: for a snapshot that is a difference.
  OpenSnapshot(Input& input, const ParentPlaces& places, StandIn stand_in = nullptr);
  Reader& reader() { return *reader_; }
  const Chain& chain() const { return chain_; }
  /// Ends the command with an error of this snapshot or of one of its parents.
  [[noreturn]] void fail(const Error& error);

 private:
  Input& input_;
  Chain chain_;
  std::unique_ptr<Reader> reader_;
};

}  // namespace snap::tool

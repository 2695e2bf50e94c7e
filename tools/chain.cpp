// SPDX-License-Identifier: Apache-2.0
#include "chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "own_mount.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr std::size_t kCacheBytes = 16u << 20;  // of all files of a chain
constexpr std::size_t kLeastCacheBytes = 4u << 20;

std::size_t cache_share(unsigned depth) { return std::max(kLeastCacheBytes, kCacheBytes / (depth + 1)); }

/// Only a plain file is opened for its name: nothing that waits, and no device.
bool is_file(const std::string& path) {
  struct stat status {};
  return !leads_into_own_mount(path) && ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

/// Nothing where the file cannot be read, which `unread` then tells: another candidate may serve.
std::unique_ptr<Input> try_open(const std::string& path, std::optional<Failure>& unread) {
  try {
    return std::make_unique<Input>(path);
  } catch (const Failure& failure) {
    if (failure.status > 128) throw;
    unread = failure;
    return nullptr;
  }
}

std::string join(const std::string& directory, const std::string& name) { return (std::filesystem::path(directory) / name).string(); }

}  // namespace

Reader& Chain::open(const ParentRef& parent, unsigned child_depth, const std::string& child, const std::string& directory) {
  Found found = find(parent, child_depth, child, directory);
  const std::size_t place = links_.size();
  links_.push_back({std::move(found.file), found.info, nullptr});
  Reader* grandparent = nullptr;
  const std::string name = links_[place].file->name();
  if (found.info.parent) grandparent = &open(*found.info.parent, found.info.depth, name, links_[place].file->directory());
  auto reader = Reader::open(links_[place].file->source(), {.cache_bytes = cache_share(child_depth), .parent = grandparent});
  if (!reader) links_[place].file->fail(reader.error());
  links_[place].reader = std::move(*reader);
  return stand_in_ ? stand_in_(*links_[place].reader, static_cast<unsigned>(place), name) : *links_[place].reader;
}

// Where there are several, the one with the right content is taken; the wrong ones are told of where none has it.
Chain::Found Chain::find(const ParentRef& parent, unsigned child_depth, const std::string& child, const std::string& directory) const {
  std::vector<std::string> candidates;
  for (const std::string& place : places_) {
    if (leads_into_own_mount(place)) continue;
    if (!is_directory(place)) {
      candidates.push_back(place);
    } else if (!parent.hint.empty()) {
      candidates.push_back(join(place, parent.hint));
    }
  }
  if (!directory.empty() && !parent.hint.empty()) candidates.push_back(join(directory, parent.hint));

  std::string wrong;
  std::optional<Failure> unread;
  for (const std::string& candidate : candidates) {
    if (!is_file(candidate)) continue;
    auto file = try_open(candidate, unread);
    if (file == nullptr) continue;
    if (file->format() != Format::kVmsnap) {
      wrong += fmt::format("\n  {} is no snapshot", printable(candidate));
      continue;
    }
    auto info = read_parent_info(file->source());
    if (!info && info.error().code != Code::kCorrupt && info.error().code != Code::kTruncated && info.error().code != Code::kUnsupported) {
      file->fail(info.error());
    } else if (!info) {
      wrong += fmt::format("\n  {}: {}", printable(candidate), describe(info.error()));
    } else if (info->digest != parent.digest) {
      wrong += fmt::format("\n  {} has the digest {}", printable(candidate), to_hex(info->digest));
    } else if (info->depth >= child_depth) {
      wrong += fmt::format("\n  {} has that digest, but as many parents as a child of it may have", printable(candidate));
    } else {
      return {std::move(file), std::move(*info)};
    }
  }
  if (unread) throw Failure{unread->status, fmt::format("{}: its parent {}", child, unread->message)};
  const std::string what = parent.hint.empty() ? "its parent" : fmt::format("its parent '{}'", printable(parent.hint));
  const char* advice = wrong.empty() ? " was not found; say where it is with --parent" : " is not among those found:";
  throw Failure{kExitParent, fmt::format("{}: {} with the digest {}{}{}", child, what, to_hex(parent.digest), advice, wrong)};
}

const std::string& Chain::name_of(const Error& error, const std::string& child) const {
  return error.ancestor == 0 || error.ancestor > links_.size() ? child : links_[error.ancestor - 1u].file->name();
}

void Chain::fail_if_theirs(const Error& error, const std::string& child) const {
  if (error.ancestor != 0) tool::fail(fmt::format("{}: its parent {}", child, name_of(error, child)), error);
}

bool Chain::holds(const struct stat& file) const {
  return std::any_of(links_.begin(), links_.end(), [&](const Link& link) {
    return link.file->status().st_dev == file.st_dev && link.file->status().st_ino == file.st_ino;
  });
}

void Chain::refuse_as_output(const std::string& path, const std::string& child) const {
  struct stat status {};
  if (path != "-" && ::stat(path.c_str(), &status) == 0 && holds(status)) {
    fail_usage(fmt::format("{}: is a parent of {}, and others may build upon it too", path, child));
  }
}

FindParent StreamParents::finder() {
  // What the stream names is opened as far as the format lets a chain be deep; the reader then looks at the child's own depth.
  return [this](const ParentRef& parent) -> Result<Reader*> {
    Reader& found = chain_.open(parent, kMostParents, input_.name(), "");
    chain_.refuse_as_output(destination_, input_.name());
    return &found;
  };
}

void StreamParents::fail_if_theirs(const Error& error) const {
  chain_.fail_if_theirs(error, input_.name());
}

std::optional<Digest> snapshot_digest(const std::string& path) {
  Input file(path);
  if (file.format() != Format::kVmsnap || !file.seekable()) return std::nullopt;
  const auto info = read_parent_info(file.source());
  if (!info) file.fail(info.error());
  return info->digest;
}

OpenSnapshot::OpenSnapshot(Input& input, const ParentPlaces& places, StandIn stand_in)
    : input_(input), chain_(places, std::move(stand_in)) {
  const auto info = read_parent_info(input.source());
  if (!info) input.fail(info.error());
  Reader* parent = nullptr;
  if (info->parent) parent = &chain_.open(*info->parent, info->depth, input.name(), input.directory());
  auto reader = Reader::open(input.source(), {.cache_bytes = cache_share(info->depth), .parent = parent});
  if (!reader) fail(reader.error());
  reader_ = std::move(*reader);
}

void OpenSnapshot::fail(const Error& error) {
  chain_.fail_if_theirs(error, input_.name());
  input_.fail(error);
}

}  // namespace snap::tool

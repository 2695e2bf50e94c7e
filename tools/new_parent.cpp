// SPDX-License-Identifier: Apache-2.0
#include "new_parent.h"

#include <fmt/format.h>

#include <filesystem>

#include "signals.h"
#include "writer_options.h"

namespace snap::tool {
namespace {

constexpr std::size_t kMostHintBytes = 255;  // SPEC 15

Input open_parent(const std::string& path) {
  Input input(path);
  if (!input.seekable()) fail_usage(fmt::format("-B {}: a parent is read at random and must be a file", input.name()));
  if (input.format() != Format::kVmsnap) fail_usage(fmt::format("-B {}: is {}, not a snapshot; convert it first", input.name(), format_name(input.format())));
  return input;
}

}  // namespace

NewParent::NewParent(const std::string& path, const ParentPlaces& places) : input_(open_parent(path)), opened_(input_, places) {
  if (reader().depth() < kMostParents) return;
  throw Failure{kExitUnsupported, fmt::format("{}: counts {} parents, and a chain has no more; rebase or flatten it first", name(), kMostParents)};
}

void NewParent::set(WriterOptions& options, unsigned threads, Tally& tally) {
  for (const RegionInfo& region : reader().regions()) {
    if (region.kind == RegionKind::kMemory) tally.total += region.size;
  }
  auto pages = ParentPages::index(reader(), {.threads = threads, .progress = &tally.done, .cancel = &cancel_flag()});
  if (!pages) opened_.fail(pages.error());
  pages_ = std::move(*pages);
  tally.done = tally.total = 0;
  options.parent = &reader();
  options.parent_pages = pages_.get();
  const std::string name = std::filesystem::path(followed(input_.name())).filename().string();
  if (name.size() <= kMostHintBytes) options.parent_hint = name;
}

void NewParent::set_alike(WriterOptions& options, const std::vector<std::string>& lists, unsigned threads, Tally& tally) {
  if (!chooses_block_size(lists)) options.block_bytes = reader().block_bytes();
  set(options, threads, tally);
}

bool NewParent::is(const struct stat& file) const {
  return file.st_dev == input_.status().st_dev && file.st_ino == input_.status().st_ino;
}

void NewParent::refuse_as_output(const std::string& path) const {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return;
  if (is(status) || builds_on(status)) fail_usage(fmt::format("{}: is the parent, which the new snapshot needs", path));
}

void NewParent::fail(Error error) {
  --error.ancestor;
  opened_.fail(error);
}

}  // namespace snap::tool

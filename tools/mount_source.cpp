// SPDX-License-Identifier: Apache-2.0
#include "mount_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "changes.h"
#include "info.h"
#include "own_mount.h"
#include "snap/working_set.h"
#include "text.h"

namespace snap::tool {
namespace {

/// A snapshot and its parents: what the views of all of them share.
struct OpenChain {
  OpenChain(const std::string& path, const ParentPlaces& places, Log to) : input(path, Format::kVmsnap), snapshot(input, places), log(std::move(to)) {
    infos.push_back(info_json(input, snapshot.reader()));
    for (const Chain::Link& link : snapshot.chain().links()) infos.push_back(info_json(*link.file, *link.reader));
  }
  Input input;
  OpenSnapshot snapshot;
  Log log;
  std::vector<std::string> infos;  // of the snapshot and its parents
};

class ChainSource final : public view::Source {
 public:
  /// `distance`: 0 for the snapshot itself, 1 for its parent, and so on.
  ChainSource(std::shared_ptr<OpenChain> chain, std::size_t distance, std::string parent_folder)
      : chain_(std::move(chain)), distance_(distance), parent_folder_(std::move(parent_folder)), status_(input().status()) {
    for (std::size_t i = distance_; i < links().size(); ++i) {
      const struct stat& parent = links()[i].file->status();
      const mode_t of_others = parent.st_mode & 0007;
      const bool same_user = parent.st_uid == status_.st_uid, same_group = parent.st_gid == status_.st_gid;
      status_.st_mode &= S_IFMT | 0222 | (same_user ? parent.st_mode & 0700 : of_others << 6) | (same_group ? parent.st_mode & 0070 : of_others << 3) | of_others;
    }
  }

  Reader& reader() override { return distance_ == 0 ? chain_->snapshot.reader() : *links()[distance_ - 1].reader; }
  // Who may read a child may not for that alone read its parents' memory.
  const struct stat& status() const override { return status_; }
  std::string info_json() override { return chain_->infos[distance_]; }
  Result<void> write_map_json(ByteSink& sink) override { return tool::write_map_json(reader(), sink); }
  std::vector<TouchedRange> working_set() override {
    auto ranges = read_working_set(input().source());
    if (ranges) return std::move(*ranges);
    chain_->log(fmt::format("{}: {}", input().name(), describe(ranges.error())));
    return {};
  }
  std::string explain(const Error& error) const override {
    Error own = error;
    own.ancestor = static_cast<std::uint16_t>(error.ancestor + distance_);
    return fmt::format("{}: {}", chain_->snapshot.chain().name_of(own, chain_->input.name()), describe(error));
  }
  std::string parent_folder() const override { return parent_folder_; }
  std::shared_ptr<Source> parent() override {
    if (distance_ == links().size()) return nullptr;
    return std::make_shared<ChainSource>(chain_, distance_ + 1, std::string());
  }

 private:
  const std::vector<Chain::Link>& links() const { return chain_->snapshot.chain().links(); }
  Input& input() const { return distance_ == 0 ? chain_->input : *links()[distance_ - 1].file; }

  std::shared_ptr<OpenChain> chain_;
  std::size_t distance_;
  std::string parent_folder_;
  struct stat status_;
};

bool has_snapshot(const std::string& path) {
  constexpr std::size_t kMagicBytes = 8;
  struct stat status {};
  if (leads_into_own_mount(path) || ::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::byte first[kMagicBytes];
  return file.get() >= 0 && ::pread(file.get(), first, sizeof first, 0) == static_cast<ssize_t>(sizeof first) && looks_like_snapshot(first);
}

class DirectoryShelf final : public view::Shelf {
 public:
  DirectoryShelf(std::string directory, ParentPlaces places, Log log) : directory_(std::move(directory)), places_(std::move(places)), log_(std::move(log)) {
    if (::stat(directory_.c_str(), &status_) != 0) fail_errno(directory_, "cannot open");
  }

  const struct stat& status() const override { return status_; }

  std::vector<std::string> names() override {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(directory_.c_str()), ::closedir);
    if (!directory) return names;
    while (const dirent* entry = ::readdir(directory.get())) {
      if (entry->d_name[0] != '.' && has_snapshot(path_of(entry->d_name))) names.emplace_back(entry->d_name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  // Hidden files are those that are being written.
  std::string identity(const std::string& name) override {
    struct stat status {};
    if (name.empty() || name[0] == '.' || name.find('/') != name.npos || leads_into_own_mount(path_of(name))) return {};
    if (::stat(path_of(name).c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return fmt::format("{}.{}.{}.{}.{}", status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  }

  std::shared_ptr<view::Source> open(const std::string& name) override {
    if (!has_snapshot(path_of(name))) return nullptr;
    try {
      return open_for_view(path_of(name), places_, log_, this);
    } catch (const Failure& failure) {
      log_(failure.message);
      return nullptr;
    }
  }

 private:
  std::string path_of(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
  ParentPlaces places_;
  Log log_;
  struct stat status_ {};
};

/// The name of the parent's file where the shelf has it.
std::string folder_of_parent(const OpenSnapshot& snapshot, const std::string& directory, const view::Shelf* shelf) {
  if (shelf == nullptr || snapshot.chain().links().empty()) return {};
  const std::filesystem::path parent = snapshot.chain().links()[0].file->name();
  const bool beside = parent.parent_path() == std::filesystem::path(directory) && parent.filename().string()[0] != '.';
  return beside ? parent.filename().string() : std::string();
}

}  // namespace

std::shared_ptr<view::Source> open_for_view(const std::string& path, const ParentPlaces& places, Log log, const view::Shelf* shelf) {
  auto chain = std::make_shared<OpenChain>(path, places, std::move(log));
  if (!chain->input.seekable()) fail_usage(fmt::format("{}: is no snapshot in a file", chain->input.name()));
  std::string parent = folder_of_parent(chain->snapshot, chain->input.directory(), shelf);
  return std::make_shared<ChainSource>(std::move(chain), 0, std::move(parent));
}

std::shared_ptr<view::Shelf> shelf_of(const std::string& directory, const ParentPlaces& places, Log log) {
  return std::make_shared<DirectoryShelf>(directory, places, std::move(log));
}

}  // namespace snap::tool

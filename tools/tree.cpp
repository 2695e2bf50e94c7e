// SPDX-License-Identifier: Apache-2.0
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "open.h"
#include "report.h"
#include "signals.h"
#include "snap/reader.h"
#include "text.h"

namespace snap::tool {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kDetectBytes = 512;
constexpr std::size_t kNone = ~std::size_t{0};

struct Member {
  std::string name;
  ParentInfo info;
  std::size_t parent = kNone;
  std::vector<std::size_t> children;
};

struct Unread {
  std::string name;
  Error error;
};

struct Family {
  std::uint64_t files = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t block_records = 0;
};

class Directory {
 public:
  explicit Directory(const std::string& path) : path_(path) {
    read_names();
    for (const std::string& name : names_) read_file(name);
    for (std::size_t i = 0; i < members_.size(); ++i) order_.push_back(i);
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
    for (std::size_t i = 0; i < members_.size(); ++i) adopt(i);
  }

  const std::vector<Member>& members() const { return members_; }
  const std::vector<Unread>& unread() const { return unread_; }

  Family family(std::size_t root) const {
    const Member& member = members_[root];
    Family sum{1, member.info.file_bytes, member.info.block_records};
    for (const std::size_t child : member.children) {
      const Family more = family(child);
      sum.files += more.files;
      sum.file_bytes += more.file_bytes;
      sum.block_records += more.block_records;
    }
    return sum;
  }

 private:
  void read_names() {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path_.c_str()), ::closedir);
    if (directory == nullptr) fail_errno(path_, "cannot open");
    fd_ = Fd(::fcntl(::dirfd(directory.get()), F_DUPFD_CLOEXEC, 3));
    if (fd_.get() < 0) fail_errno(path_, "cannot open");
    errno = 0;
    while (const dirent* entry = ::readdir(directory.get())) {
      if (entry->d_type == DT_REG || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) names_.emplace_back(entry->d_name);
      errno = 0;
    }
    if (errno != 0) fail_errno(path_, "cannot read the directory");
    std::sort(names_.begin(), names_.end());
  }

  void read_file(const std::string& name) {
    if (cancelled()) fail(path_, Error{.code = Code::kCancelled});
    struct stat status {};
    // Looked at before it is opened, as opening a device may do something; and opened so that what changed between is no wait.
    if (::fstatat(fd_.get(), name.c_str(), &status, 0) != 0 || !S_ISREG(status.st_mode)) return;
    const Fd file(::openat(fd_.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (file.get() < 0) {
      if (errno != ENOENT) unread_.push_back({name, {.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(errno), .what = "cannot open"}});
      return;
    }
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    GuardedSource source(file_source(file.get()));
    std::array<std::byte, kDetectBytes> first{};
    const auto got = source.read_at(0, first);
    if (got && detect_format(std::span(first).first(*got)) != Format::kVmsnap) return;
    const auto info = got ? read_parent_info(source) : Result<ParentInfo>(got.error());
    if (!info && info.error().code == Code::kCancelled) fail(path_, info.error());
    if (!info) return unread_.push_back({name, info.error()});
    by_name_[name] = members_.size();
    members_.push_back({name, *info, kNone, {}});
  }

  using Key = std::tuple<std::array<std::uint8_t, 32>, unsigned, std::string_view>;
  Key key(std::size_t i) const { return {members_[i].info.digest.bytes, members_[i].info.depth, members_[i].name}; }

  // By content, and always upwards in depth, so that no chain closes. Of several with that content the one that the hint names, else
  // the one with the most parents.
  void adopt(std::size_t child) {
    const ParentInfo& info = members_[child].info;
    if (!info.parent) return;
    const auto fits = [&](std::size_t i) { return members_[i].info.digest == info.parent->digest && members_[i].info.depth < info.depth; };
    std::size_t parent = kNone;
    if (const auto named = by_name_.find(info.parent->hint); named != by_name_.end() && fits(named->second)) parent = named->second;
    if (parent == kNone) {
      const Key limit{info.parent->digest.bytes, info.depth, ""};
      const auto after = std::lower_bound(order_.begin(), order_.end(), limit, [&](std::size_t i, const Key& to) { return key(i) < to; });
      if (after != order_.begin() && fits(*(after - 1))) parent = *(after - 1);
    }
    if (parent == kNone) return;
    members_[child].parent = parent;
    members_[parent].children.push_back(child);
  }

  const std::string& path_;
  Fd fd_;
  std::vector<std::string> names_;
  std::vector<Member> members_;
  std::vector<Unread> unread_;
  std::map<std::string, std::size_t> by_name_;
  std::vector<std::size_t> order_;  // by digest, then depth
};

bool is_orphan(const Member& member) { return member.parent == kNone && member.info.parent.has_value(); }

// Depth falls from child to parent and is at most 64, so this goes no deeper.
void add_text(const Directory& all, std::size_t at, const std::string& lead, const std::string& below, std::string& text) {
  const Member& member = all.members()[at];
  text += fmt::format("{:<40} {:>10}  {:>12}\n", lead + printable(member.name), human_bytes(member.info.file_bytes),
                      plural(member.info.block_records, "block"));
  for (const std::size_t child : member.children) {
    const bool last = child == member.children.back();
    add_text(all, child, below + (last ? "`-- " : "|-- "), below + (last ? "    " : "|   "), text);
  }
}

Json member_json(const Directory& all, std::size_t at) {
  const Member& member = all.members()[at];
  Json json{{"file", member.name}, {"digest", to_hex(member.info.digest)}, {"depth", member.info.depth}};
  json["file_bytes"] = member.info.file_bytes;
  json["block_records"] = member.info.block_records;
  json["parent_digest"] = member.info.parent ? Json(to_hex(member.info.parent->digest)) : Json(nullptr);
  json["parent_hint"] = member.info.parent ? Json(member.info.parent->hint) : Json(nullptr);
  json["parent_found"] = member.parent != kNone;
  json["children"] = Json::array();
  for (const std::size_t child : member.children) json["children"].push_back(member_json(all, child));
  return json;
}

std::string family_text(const Directory& all, std::size_t root) {
  std::string text;
  const Member& member = all.members()[root];
  if (is_orphan(member)) {
    text += fmt::format("parent '{}' is not here: digest {}\n", printable(member.info.parent->hint), to_hex(member.info.parent->digest));
  }
  add_text(all, root, is_orphan(member) ? "`-- " : "", is_orphan(member) ? "    " : "", text);
  const Family sum = all.family(root);
  return text + fmt::format("in all: {}, {}, {}\n\n", plural(sum.files, "file"), human_bytes(sum.file_bytes), plural(sum.block_records, "block"));
}

Json family_json(const Directory& all, std::size_t root) {
  const Family sum = all.family(root);
  return {{"files", sum.files},
          {"file_bytes", sum.file_bytes},
          {"block_records", sum.block_records},
          {"orphan", is_orphan(all.members()[root])},
          {"root", member_json(all, root)}};
}

}  // namespace

int print_tree(const std::string& directory, bool as_json) {
  const Directory all(directory);
  Json json{{"directory", directory}, {"families", Json::array()}, {"unread", Json::array()}};
  std::string text;
  for (std::size_t i = 0; i < all.members().size(); ++i) {
    if (all.members()[i].parent != kNone) continue;
    as_json ? json["families"].push_back(family_json(all, i)) : (void)(text += family_text(all, i));
  }
  int worst = kExitOk;
  for (const Unread& each : all.unread()) {
    json["unread"].push_back({{"file", each.name}, {"code", code_name(each.error.code)}, {"cause", describe(each.error)}});
    text += fmt::format("not read: {}: {}\n", printable(each.name), describe(each.error));
    worst = std::max(worst, exit_status(each.error));
  }
  if (text.empty()) text = fmt::format("{}: no snapshots\n", directory);
  // Names of files need not be UTF-8.
  print(as_json ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text);
  return worst;
}

}  // namespace snap::tool

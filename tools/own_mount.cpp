// SPDX-License-Identifier: Apache-2.0
#include "own_mount.h"

#include <unistd.h>

#include <climits>
#include <filesystem>
#include <utility>
#include <vector>

namespace snap::tool {
namespace {

constexpr int kMostLinks = 40;  // the kernel's own limit

std::filesystem::path own_mount;

/// What is still to be walked, the next part last.
void push(std::vector<std::filesystem::path>& parts, const std::filesystem::path& path) {
  const std::vector<std::filesystem::path> forward(path.begin(), path.end());
  parts.insert(parts.end(), forward.rbegin(), forward.rend());
}

}  // namespace

void set_own_mount(std::string directory) { own_mount = std::move(directory); }

bool leads_into_own_mount(const std::string& path) {
  if (own_mount.empty()) return false;
  std::vector<std::filesystem::path> parts;
  std::filesystem::path at;
  push(parts, std::filesystem::absolute(path));
  for (int links = 0; !parts.empty();) {
    const std::filesystem::path part = std::move(parts.back());
    parts.pop_back();
    if (part == "..") {
      at = at.parent_path();
    } else if (part.is_absolute()) {
      at = part;
    } else if (!part.empty() && part != ".") {
      const std::filesystem::path next = at / part;
      if (next == own_mount) return true;
      char target[PATH_MAX];
      const ssize_t length = ::readlink(next.c_str(), target, sizeof target);
      if (length > 0 && ++links > kMostLinks) return false;  // whoever follows it is told so
      if (length > 0) {
        push(parts, std::string(target, static_cast<std::size_t>(length)));
      } else {
        at = next;
      }
    }
  }
  return false;
}

}  // namespace snap::tool

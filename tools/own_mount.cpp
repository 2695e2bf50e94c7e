// SPDX-License-Identifier: Apache-2.0
#include "own_mount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "open.h"

namespace snap::tool {
namespace {

constexpr int kMostLinks = 40;  // the kernel's own limit

struct Device {
  unsigned major = 0, minor = 0;
  bool operator==(const Device&) const = default;
};
std::optional<Device> own_device;

/// What is known without asking the file system.
std::optional<struct statx> known_of(const Fd& file) {
  struct statx status {};
  if (file.get() < 0 || ::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) != 0) return std::nullopt;
  return status;
}

Device device_of(const struct statx& status) { return {status.stx_dev_major, status.stx_dev_minor}; }

/// What is still to be walked, the next part last.
void push(std::vector<std::filesystem::path>& parts, const std::filesystem::path& path) {
  const std::vector<std::filesystem::path> forward(path.begin(), path.end());
  parts.insert(parts.end(), forward.rbegin(), forward.rend());
}

}  // namespace

void set_own_mount(const std::string& directory) {
  if (const auto status = known_of(Fd(::open(directory.c_str(), O_PATH | O_CLOEXEC)))) own_device = device_of(*status);
}

// Step by step, since a look at what lies in the mount would be one too many.
bool leads_into_own_mount(const std::string& path) {
  if (!own_device) return false;
  std::vector<std::filesystem::path> parts;
  push(parts, std::filesystem::absolute(path));
  Fd at;
  for (int links = 0; !parts.empty();) {
    const std::filesystem::path part = std::move(parts.back());
    parts.pop_back();
    if (part.empty()) continue;
    Fd next(::openat(at.get(), part.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    const auto status = known_of(next);
    if (!status) return false;  // then there is nothing
    if (device_of(*status) == *own_device) return true;
    if (!S_ISLNK(status->stx_mode)) {
      at = std::move(next);
      continue;
    }
    char target[PATH_MAX];
    const ssize_t length = ::readlinkat(next.get(), "", target, sizeof target);
    if (length < 0 || ++links > kMostLinks) return false;  // whoever follows it is told so
    push(parts, std::string(target, static_cast<std::size_t>(length)));
  }
  return false;
}

}  // namespace snap::tool

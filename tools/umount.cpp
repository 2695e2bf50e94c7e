// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "commands.h"
#include "fuse/server.h"
#include "open.h"
#include "text.h"

namespace snap::tool {
namespace {

struct UmountArgs {
  std::string directory;
  bool lazy = false;
};

/// The process that serves what is mounted there; none where that is no view of ours.
Fd server_of(const std::string& directory) {
  std::array<char, 32> text{};
  const ssize_t length = ::getxattr(directory.c_str(), view::kServerAttribute, text.data(), text.size());
  int process = 0;
  if (length <= 0 || std::from_chars(text.data(), text.data() + length, process).ec != std::errc()) return Fd();
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
}

/// What it still has to write is there when this command ends.
void await_end(const Fd& server) {
  constexpr int kMostMilliseconds = 10000;
  pollfd ended{.fd = server.get(), .events = POLLIN, .revents = 0};
  if (server.get() >= 0) (void)::poll(&ended, 1, kMostMilliseconds);
}

/// A mount whose server died cannot be looked at, but what it lies in can.
std::string mountpoint_of(const std::string& given) {
  std::filesystem::path path = std::filesystem::absolute(followed(given)).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::error_code error;
  const auto parent = std::filesystem::canonical(path.parent_path(), error);
  return error ? path.string() : (parent / path.filename()).string();
}

/// As mountinfo writes it: blanks and backslashes in octal.
std::string octal(const std::string& path) {
  std::string text;
  for (const char c : path) text += c == ' ' || c == '\t' || c == '\n' || c == '\\' ? fmt::format("\\{:03o}", static_cast<unsigned>(c)) : std::string(1, c);
  return text;
}

/// Whether what is mounted there, on top, is a view.
bool is_view(const std::string& directory) {
  const std::string wanted = octal(directory);
  std::ifstream mounts("/proc/self/mountinfo");
  bool found = false;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string word, at, type;
    for (int i = 0; i < 5 && words >> word; ++i) at = word;  // the fifth word
    while (words >> word && word != "-") {
    }
    words >> type;
    if (at == wanted) found = type == "fuse.vmsnap";
  }
  return found;
}

int umount(const UmountArgs& args) {
  const std::string directory = mountpoint_of(args.directory);
  if (!is_view(directory)) throw Failure{kExitNotFound, fmt::format("{}: no view is mounted there", printable(args.directory))};
  const Fd server = server_of(directory);
  switch (const int failed = view::unmount(directory, args.lazy); failed) {
    case 0: break;
    case -1: return kExitIo;
    case EINVAL: return kExitOk;  // somebody else was faster
    case EBUSY: throw Failure{kExitIo, fmt::format("{}: is in use; --lazy takes it out of sight, and it ends with its last user", printable(args.directory))};
    default: throw Failure{failed == ENOENT ? kExitNotFound : kExitIo, fmt::format("{}: cannot unmount: {}", printable(args.directory), std::strerror(failed))};
  }
  if (!args.lazy) await_end(server);
  return kExitOk;
}

}  // namespace

Command add_umount(Options& options) {
  auto args = std::make_shared<UmountArgs>();
  options.flag("--lazy", args->lazy, "Also where it is in use: it can be seen no more, and ends with its last user");
  options.operand("DIRECTORY", args->directory, "Where a view is mounted");
  return [args] { return umount(*args); };
}

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

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

constexpr int kPatienceMilliseconds = 2000;

/// A view that is mounted.
struct Mounted {
  uid_t user = 0;
  gid_t group = 0;
};

/// The number of the process that serves it, or 0.
int server_number(const std::string& directory) {
  std::array<char, 32> text{};
  const ssize_t length = ::getxattr(directory.c_str(), view::kServerAttribute, text.data(), text.size());
  int process = 0;
  if (length > 0) std::from_chars(text.data(), text.data() + length, process);
  return process;
}

/// The same where nobody but the user who mounted it may ask, not even root: a process of that user does.
int server_number_as(const Mounted& mounted, const std::string& directory) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return 0;
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool is_user = ::setgroups(0, nullptr) == 0 && ::setresgid(mounted.group, mounted.group, mounted.group) == 0 &&
                         ::setresuid(mounted.user, mounted.user, mounted.user) == 0;
    const int process = is_user ? server_number(directory) : 0;
    ::_exit(::write(theirs.get(), &process, sizeof process) == sizeof process ? 0 : 1);
  }
  theirs = Fd();
  int process = 0;
  // It may be a server that does not answer, which is no reason to wait: the child ends with it.
  pollfd answered{.fd = ours.get(), .events = POLLIN, .revents = 0};
  const bool has_answer = child > 0 && ::poll(&answered, 1, kPatienceMilliseconds) == 1;
  if (!has_answer || ::read(ours.get(), &process, sizeof process) != sizeof process) process = 0;
  if (child > 0) ::kill(child, SIGKILL);
  return process;
}

/// The process that serves it; none where that cannot be had.
Fd server_of(const Mounted& mounted, const std::string& directory) {
  int process = server_number(directory);
  if (process <= 0 && ::geteuid() == 0 && mounted.user != 0) process = server_number_as(mounted, directory);
  return process <= 0 ? Fd() : Fd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
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

/// The number after a name in the options of a mount.
unsigned number_after(const std::string& options, std::string_view name) {
  const std::size_t at = ("," + options).find("," + std::string(name));
  unsigned number = 0;
  if (at != options.npos) std::from_chars(options.data() + at + name.size(), options.data() + options.size(), number);
  return number;
}

/// What is mounted there, on top, where it is a view.
std::optional<Mounted> view_at(const std::string& directory) {
  const std::string wanted = octal(directory);
  std::ifstream mounts("/proc/self/mountinfo");
  std::optional<Mounted> found;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string word, at, type;
    for (int i = 0; i < 5 && words >> word; ++i) at = word;  // the fifth word
    while (words >> word && word != "-") {
    }
    words >> type >> word >> word;  // the last: its options
    if (at != wanted) continue;
    found.reset();
    if (type == "fuse.vmsnap") found = Mounted{number_after(word, "user_id="), number_after(word, "group_id=")};
  }
  return found;
}

int umount(const UmountArgs& args) {
  const std::string directory = mountpoint_of(args.directory);
  const auto mounted = view_at(directory);
  if (!mounted) throw Failure{kExitNotFound, fmt::format("{}: no view is mounted there", printable(args.directory))};
  const Fd server = args.lazy ? Fd() : server_of(*mounted, directory);
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

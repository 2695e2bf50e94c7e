// SPDX-License-Identifier: Apache-2.0
#include "base_keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "pipe.h"
#include "report.h"

namespace snap::tool {
namespace {

constexpr int kConfirmFd = 4;
constexpr unsigned kLookSeconds = 5;
constexpr int kAboveAll = 16;  // clear of the numbers that the keeper uses

/// Between fork and exec: nothing but system calls.
[[noreturn]] void become_keeper(int memory_fd, int confirm_fd, int ready_fd, const char* registration) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);  // a caller may ignore them
  const int memory = ::fcntl(memory_fd, F_DUPFD_CLOEXEC, kAboveAll);
  const int confirm = ::fcntl(confirm_fd, F_DUPFD_CLOEXEC, kAboveAll);
  const int ready = ::fcntl(ready_fd, F_DUPFD_CLOEXEC, kAboveAll);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  bool done = ::chdir("/") == 0 && nothing >= 0;
  for (int fd = 0; fd < kKeptFd; ++fd) done = done && ::dup2(nothing, fd) == fd;
  done = done && ::dup2(memory, kKeptFd) == kKeptFd && ::dup2(confirm, kConfirmFd) == kConfirmFd;
  (void)::close_range(kConfirmFd + 1, ~0U, CLOSE_RANGE_CLOEXEC);  // others' locks and pipes are not to be kept for as long
  if (done) ::execl("/proc/self/exe", "vmsnap", "base-keeper", registration, nullptr);
  const int why = errno;
  (void)!::write(ready, &why, sizeof why);
  ::_exit(1);
}

}  // namespace

// Not our child: who starts guests may live for long, and is not to be told when the keeper ends.
Keeper::Keeper(int memory_fd, const std::string& registration) {
  const std::string path = std::filesystem::absolute(registration);
  Pipe confirm = make_pipe();
  Pipe ready = make_pipe();
  Pipe told = make_pipe();
  const pid_t between = ::fork();
  if (between < 0) fail_errno("the base", "cannot start its keeper");
  if (between == 0) {
    ::setsid();
    const pid_t keeper = ::fork();
    if (keeper == 0) become_keeper(memory_fd, confirm.read.get(), ready.write.get(), path.c_str());
    (void)!::write(told.write.get(), &keeper, sizeof keeper);
    ::_exit(0);
  }
  told.write = Fd();
  ready.write = Fd();
  pid_t keeper = -1;
  if (::read(told.read.get(), &keeper, sizeof keeper) != sizeof keeper) keeper = -1;
  while (::waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
  }
  int why = EAGAIN;
  if (keeper > 0 && ::read(ready.read.get(), &why, sizeof why) == 0) why = 0;  // closed by exec
  if (why != 0) {
    errno = why;
    fail_errno("the base", "cannot start its keeper");
  }
  process_ = keeper;
  confirm_ = std::move(confirm.write);
}

void Keeper::confirm() {
  const char byte = 1;
  if (::write(confirm_.get(), &byte, 1) != 1) fail_errno("the base", "cannot confirm its keeper");
}

int keep_base(const char* registration) {
  char byte = 0;
  ssize_t got;
  while ((got = ::read(kConfirmFd, &byte, 1)) < 0 && errno == EINTR) {
  }
  ::close(kConfirmFd);
  if (got != 1) return kExitOk;
  // What cleans up directories may take the registration away; the memory would be nobody's.
  while (::access(registration, F_OK) == 0 || errno != ENOENT) ::sleep(kLookSeconds);
  return kExitOk;
}

}  // namespace snap::tool

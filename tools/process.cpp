// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>

#include "pipe.h"
#include "signals.h"
#include "text.h"

namespace snap::tool {
namespace {

constexpr std::size_t kWordsBytes = 4096;
constexpr unsigned kEndingMilliseconds = 2000;
constexpr int kPollMilliseconds = 100;

/// In the child: only what is safe between fork and exec.
[[noreturn]] void become(char* const* arguments, const std::vector<int>& inherited, int errors, int report, int parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  ::dup2(errors, STDERR_FILENO);
  for (const int fd : inherited) ::fcntl(fd, F_SETFD, 0);
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGALRM}) ::signal(signal, SIG_DFL);
  ::execvp(arguments[0], arguments);
  const int error = errno;
  (void)!::write(report, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const std::vector<int>& inherited) {
  start(command, inherited);
  pump_ = std::thread([this] { pass_on(); });
}

void Process::start(const std::vector<std::string>& command, const std::vector<int>& inherited) {
  std::vector<char*> arguments;
  for (const std::string& each : command) arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  Pipe errors = make_pipe(), report = make_pipe();
  const int parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail_errno(command[0], "cannot start it");
  if (pid_ == 0) become(arguments.data(), inherited, errors.write.get(), report.write.get(), parent);
  errors_ = std::move(errors.read);
  report.write = Fd();
  int error = 0;
  ssize_t got = 0;
  while ((got = ::read(report.read.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (got != sizeof error) return;  // closed by exec
  reap();
  errno = error;
  fail_errno(command[0], "cannot start it");
}

void Process::pass_on() {
  char piece[4096];
  while (true) {
    pollfd errors{.fd = errors_.get(), .events = POLLIN, .revents = 0};
    const bool ready = ::poll(&errors, 1, kPollMilliseconds) > 0;
    if (!ready && stop_) return;
    if (!ready) continue;
    const ssize_t got = ::read(errors_.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    (void)!::write(STDERR_FILENO, piece, static_cast<std::size_t>(got));
    const std::lock_guard lock(mutex_);
    words_.append(piece, static_cast<std::size_t>(got));
    if (words_.size() > kWordsBytes) words_.erase(0, words_.size() - kWordsBytes);
  }
}

void Process::reap() {
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

int Process::wait() {
  pass_signals_to(pid_);
  if (cancelled()) fail("", Error{.code = Code::kCancelled});
  siginfo_t info{};
  // It stays a zombie until no signal can go to its number any more.
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  pass_signals_to(0);
  reap();
  return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
}

bool Process::ended_within(unsigned milliseconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (true) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == pid_) return true;
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string Process::last_line() {
  const std::lock_guard lock(mutex_);
  const std::size_t end = words_.find_last_not_of(" \r\n");
  if (end == words_.npos) return {};
  const std::size_t before = words_.find_last_of('\n', end);
  const std::size_t begin = before == words_.npos ? 0 : before + 1;
  return words_.substr(begin, end + 1 - begin);
}

std::string Process::end() {
  bool by_itself = true;
  if (pid_ > 0) {
    by_itself = ended_within(kEndingMilliseconds);
    if (!by_itself) ::kill(pid_, SIGKILL);
    reap();
  }
  stop_ = true;
  if (pump_.joinable()) pump_.join();
  const std::string said = printable(last_line());
  std::string how;
  if (by_itself)
    how = WIFSIGNALED(status_) ? fmt::format("signal {}", WTERMSIG(status_)) : fmt::format("status {}", WEXITSTATUS(status_));
  return how.empty() || said.empty() ? how + said : how + ": " + said;
}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);  // the guest may run already, and write to its disks
    if (!ended_within(kEndingMilliseconds)) ::kill(pid_, SIGKILL);
    reap();
  }
  stop_ = true;
  if (pump_.joinable()) pump_.join();
}

}  // namespace snap::tool

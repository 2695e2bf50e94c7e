// SPDX-License-Identifier: Apache-2.0
#include "daemon.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "report.h"
#include "signals.h"

namespace snap::tool {
namespace {

sigset_t ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR2}) ::sigaddset(&set, signal);
  return set;
}

constexpr int kOver = SIGUSR2;  // wakes the thread that it is over for

}  // namespace

Background::Background() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_errno("vmsnap", "cannot make a pipe");
  Fd theirs(ends[0]);
  ready_ = Fd(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) fail_errno("vmsnap", "cannot go to the background");
  if (child > 0) {
    ready_ = Fd();
    pass_signals_to(child);
    const sigset_t set = ending_signals();
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    char word = 0;
    ssize_t got = 0;
    while ((got = ::read(theirs.get(), &word, 1)) < 0 && errno == EINTR) {
    }
    if (got == 1) ::_exit(kExitOk);
    ::_exit(passed_signal() != 0 ? 128 + passed_signal() : kExitIo);
  }
  ::setsid();
  if (::chdir("/") != 0) return;
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.get() < 0) return;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
}

void Background::say_ready() {
  [[maybe_unused]] const ssize_t written = ::write(ready_.get(), "", 1);  // whoever waited may be gone
  ready_ = Fd();
}

void log_line(const std::string& message, bool background) {
  if (background) {
    ::syslog(LOG_DAEMON | LOG_WARNING, "vmsnap: %s", message.c_str());
  } else {
    say(message);
  }
}

void notify_manager(const std::string& state) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length < 2 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return;
  ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
           static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

void hold_signals() {
  const sigset_t set = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::alarm(0);
  if (cancelled()) throw Failure{128 + caught_signal(), {}};
}

SignalThread::SignalThread(std::function<void()> on_signal) {
  thread_ = std::thread([this, set = ending_signals(), act = std::move(on_signal)] {
    bool asked = false;
    for (int signal = 0; ::sigwait(&set, &signal) == 0;) {
      if (over_) return;
      if (signal == kOver) continue;
      if (asked) ::_exit(128 + signal);
      asked = true;
      act();
    }
  });
}

SignalThread::~SignalThread() {
  over_ = true;
  ::pthread_kill(thread_.native_handle(), kOver);
  thread_.join();
}

}  // namespace snap::tool

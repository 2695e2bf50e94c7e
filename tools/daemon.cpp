// SPDX-License-Identifier: Apache-2.0
#include "daemon.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "open.h"
#include "report.h"

namespace snap::tool {
namespace {

sigset_t ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR2}) ::sigaddset(&set, signal);
  return set;
}

constexpr int kOver = SIGUSR2;  // the thread itself is to end

}  // namespace

void go_to_background() {
  const pid_t child = ::fork();
  if (child < 0) fail_errno("vmsnap", "cannot go to the background");
  if (child > 0) ::_exit(kExitOk);
  ::setsid();
  if (::chdir("/") != 0) return;
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  ::close(null);
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

SignalThread::SignalThread(std::function<void()> on_signal) {
  const sigset_t set = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([set, act = std::move(on_signal)] {
    bool asked = false;
    for (int signal = 0; ::sigwait(&set, &signal) == 0;) {
      if (signal == kOver) return;
      if (asked) ::_exit(128 + signal);
      asked = true;
      act();
    }
  });
}

SignalThread::~SignalThread() {
  ::pthread_kill(thread_.native_handle(), kOver);
  thread_.join();
}

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace snap::tool {
namespace {

constexpr unsigned kGraceSeconds = 2;

std::atomic<bool> stop_flag{false};
std::atomic<int> stop_signal{0};
std::atomic<unsigned> grace_seconds{kGraceSeconds};
std::atomic<int> signals_go_to{0};
std::atomic<int> last_passed{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free, "used in a signal handler");

// A write that waits for a reader of the pipe cannot be asked to stop, so there is an end to asking. Nothing is lost by it:
// an unfinished output has no name yet.
void on_stop(int signal) {
  if (const int process = signals_go_to; process != 0) {
    const int error = errno;
    last_passed = signal;
    if (process > 0) ::kill(process, signal);
    errno = error;
    return;
  }
  int none = 0;
  if (!stop_signal.compare_exchange_strong(none, signal)) {
    if (grace_seconds > kGraceSeconds) return;  // a guest is to go on before we end
    ::_exit(128 + none);
  }
  stop_flag = true;
  ::alarm(grace_seconds);
}

void on_grace_over(int) { ::_exit(128 + stop_signal); }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  // Who started us with a signal ignored, as nohup does, wants it ignored.
  if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) return;
  action = {};
  action.sa_handler = handler;  // without SA_RESTART: a read that waits ends with EINTR
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signal_handlers() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) handle(signal, on_stop);
  handle(SIGALRM, on_grace_over);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a write past a limit fails instead
}

const std::atomic<bool>& cancel_flag() { return stop_flag; }
bool cancelled() { return stop_flag.load(std::memory_order_relaxed); }
int caught_signal() { return stop_signal; }
int passed_signal() { return last_passed; }

void allow_seconds_to_end(unsigned seconds) {
  grace_seconds = seconds;
  if (cancelled()) ::alarm(seconds);
}

void pass_signals_to(int process) { signals_go_to = process == 0 ? -1 : process; }

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// A command that stays and serves.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "open.h"

namespace snap::tool {

/// The caller ends here, with status 0 once its child says that it is ready, and 3 where that ends before, or 128 and the signal that asked
/// for it. What goes on is the child, without a terminal, whose standard output and errors go nowhere. No thread may run yet.
class Background {
 public:
  Background();
  void say_ready();

 private:
  Fd ready_;
};

/// What a daemon has to say: to stderr, or once it is in the background to the system's log. From any thread.
void log_line(const std::string& message, bool background);

/// Tells the service manager that started us, if one did: "READY=1", "STOPPING=1" (sd_notify(3), whose protocol this is).
void notify_manager(const std::string& state);

/// SIGINT, SIGTERM and SIGHUP wait from here on for a SignalThread. Ends the command where one came before.
void hold_signals();

/// SIGINT, SIGTERM and SIGHUP call `on_signal`, in a thread of its own, instead of what they did; a second one ends the process at once. After
/// hold_signals(), which comes before any other thread.
class SignalThread {
 public:
  explicit SignalThread(std::function<void()> on_signal);
  ~SignalThread();

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// A program that this command starts and stays the parent of.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "open.h"

namespace snap::tool {

/// Shares our standard input and output. Its standard error passes through us, so that its last words can be told. Dies with us.
class Process {
 public:
  /// `inherited`: descriptors that stay open in it, under the same numbers. Ends the command where it cannot be started.
  Process(const std::vector<std::string>& command, const std::vector<int>& inherited);
  /// Kills it, unless it ended.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Until it ends; SIGINT, SIGTERM and SIGHUP are passed on to it. Answers its exit status, or 128 + a signal.
  int wait();
  /// Ends it, where it is not ending by itself already, and answers what it last said: "status 1: text".
  std::string end();

 private:
  void start(const std::vector<std::string>& command, const std::vector<int>& inherited);
  void pass_on();
  void reap();
  bool ended_within(unsigned milliseconds);
  std::string last_line();

  int pid_ = -1;
  int status_ = 0;  ///< of waitpid, once pid_ is -1
  Fd errors_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::string words_;  ///< the end of what it said
  std::thread pump_;
};

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// A running QEMU sends its guest into a pipe, and is as it was before where that fails.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "progress.h"
#include "qmp.h"

namespace snap::tool {

enum class Afterwards { kStopped, kResumed, kEnded };

/// Methods end the command where they fail. Goes after what reads the pipe: a migration ends once nobody does.
class Outgoing {
 public:
  explicit Outgoing(Qmp& qmp) : qmp_(qmp) {}
  /// Unless finish() was reached: ends the migration, puts the settings back, lets the guest run if it did before. Says what
  /// cannot be.
  ~Outgoing();
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  /// Refuses a guest that cannot be saved.
  void look();
  /// What the guest did before: "running", "paused", ...
  const std::string& runstate() const { return runstate_; }
  /// Stops the guest and starts the migration.
  void start(Fd write_end);
  /// Where QEMU gave up, or is gone, that is why reading the pipe failed: ends the command. Else returns.
  void fail_if_theirs();
  /// Waits until QEMU says that all is sent.
  void wait_completed();
  void finish(Afterwards afterwards);

 private:
  void fit_settings();
  void settings_back();
  void resume();
  void end_migration();
  /// Of query-migrate.
  std::string migration_status(Qmp::Json& answer);
  template <typename Step>
  void attempt(const char* what, Step step);

  Qmp& qmp_;
  std::string runstate_;
  std::optional<std::uint64_t> bandwidth_;  ///< to be put back
  Qmp::Json capabilities_ = Qmp::Json::array();
  bool resume_ = false, migrating_ = false, cares_ = false;
};

/// A thread that keeps the total up to date while QEMU sends. Nothing else may use the connection until it goes.
class OutgoingWatch {
 public:
  OutgoingWatch(bool wanted, Qmp& qmp, Tally& tally);
  ~OutgoingWatch();
  OutgoingWatch(const OutgoingWatch&) = delete;
  OutgoingWatch& operator=(const OutgoingWatch&) = delete;

 private:
  void watch(Tally& tally);

  Qmp& qmp_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace snap::tool

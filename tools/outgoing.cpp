// SPDX-License-Identifier: Apache-2.0
#include "outgoing.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <system_error>
#include <thread>

#include "signals.h"
#include "text.h"

namespace snap::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::uint64_t kBandwidth = std::uint64_t{1} << 40;  // bytes a second; the default throttles a pipe as well
constexpr milliseconds kPoll{10}, kWatchPoll{200};
constexpr seconds kEndWait{10}, kCompletedWait{120};
constexpr unsigned kSecondsToEnd = 60;

// With these on, RAM is left out of the stream or sent elsewhere, a pipe cannot carry the stream, or QEMU waits for a peer or for
// a command that does not come. ("compress" only costs: we compress.)
constexpr std::array<std::string_view, 17> kUnfit = {"x-ignore-shared",
                                                     "postcopy-ram",
                                                     "postcopy-preempt",
                                                     "multifd",
                                                     "background-snapshot",
                                                     "mapped-ram",
                                                     "pause-before-switchover",
                                                     "return-path",
                                                     "switchover-ack",
                                                     "zero-copy-send",
                                                     "release-ram",
                                                     "x-colo",
                                                     "block",
                                                     "dirty-bitmaps",
                                                     "zero-blocks",
                                                     "rdma-pin-all",
                                                     "compress"};

bool is_over(std::string_view status) {
  return status == "completed" || status == "failed" || status == "cancelled" || status == "none";
}

}  // namespace

void Outgoing::look() {
  const auto status = qmp_.run("query-status");
  runstate_ = Qmp::text(status, "status", "unknown");
  const char* why = nullptr;
  if (runstate_ == "inmigrate") why = "QEMU waits for a guest itself (-incoming)";
  if (runstate_ == "postmigrate") why = "the guest was saved or moved before and did not run since; 'cont' lets it go on";
  if (why != nullptr) throw Failure{kExitIo, fmt::format("{}: {} ({})", qmp_.name(), why, runstate_)};
  Qmp::Json answer;
  if (const std::string migration = migration_status(answer); !is_over(migration)) {
    throw Failure{kExitIo, fmt::format("{}: a migration is under way ({})", qmp_.name(), printable(migration))};
  }
  resume_ = Qmp::truth(status, "running");
}

void Outgoing::start(Fd write_end) {
  cares_ = true;
  allow_seconds_to_end(kSecondsToEnd);
  if (resume_) qmp_.run("stop");
  fit_settings();
  const std::string name = fmt::format("vmsnap-{}", ::getpid());
  qmp_.give(write_end.get(), name);
  write_end = Fd();
  migrating_ = true;
  qmp_.run_with(name, "migrate", {{"uri", "fd:" + name}});
}

void Outgoing::fit_settings() {
  const auto parameters = qmp_.run("query-migrate-parameters");
  const std::uint64_t bandwidth = Qmp::number(parameters, "max-bandwidth");
  qmp_.run("migrate-set-parameters", {{"max-bandwidth", kBandwidth}});
  bandwidth_ = bandwidth;

  auto off = Qmp::Json::array(), on = Qmp::Json::array();
  for (const auto& each : qmp_.run("query-migrate-capabilities")) {
    const std::string name = Qmp::text(each, "capability");
    if (!Qmp::truth(each, "state") || std::find(kUnfit.begin(), kUnfit.end(), name) == kUnfit.end()) continue;
    off.push_back({{"capability", name}, {"state", false}});
    on.push_back({{"capability", name}, {"state", true}});
  }
  if (off.empty()) return;
  qmp_.run("migrate-set-capabilities", {{"capabilities", off}});
  capabilities_ = on;
}

std::string Outgoing::migration_status(Qmp::Json& answer) {
  answer = qmp_.run("query-migrate");
  return Qmp::text(answer, "status", "none");
}

void Outgoing::fail_if_theirs() {
  if (cancelled()) return;
  const auto deadline = steady_clock::now() + kEndWait;
  Qmp::Json answer;
  std::string status;
  // The pipe's end is seen before QEMU has said why.
  while (!is_over(status = migration_status(answer)) && steady_clock::now() < deadline) std::this_thread::sleep_for(kPoll);
  if (status == "completed" || !is_over(status)) return;
  const std::string why = Qmp::text(answer, "error-desc", "it says no more; see its standard error");
  throw Failure{kExitIo, fmt::format("{}: QEMU gave the migration up ({}): {}", qmp_.name(), printable(status), printable(why))};
}

void Outgoing::wait_completed() {
  const auto deadline = steady_clock::now() + kCompletedWait;
  Qmp::Json answer;
  std::string status;
  while (!is_over(status = migration_status(answer))) {
    if (steady_clock::now() > deadline) {
      throw Failure{kExitIo,
                    fmt::format("{}: the stream ended, but QEMU's migration did not ({})", qmp_.name(), printable(status))};
    }
    std::this_thread::sleep_for(kPoll);
  }
  if (status != "completed") fail_if_theirs();
  migrating_ = false;
}

void Outgoing::finish(Afterwards afterwards) {
  // The snapshot is whole. What fails from here on is told, and does not start the guest.
  cares_ = false;
  qmp_.put_back();  // whoever interrupts now gets the whole of it all the same
  if (afterwards == Afterwards::kEnded) {
    qmp_.run("quit");
    return;
  }
  if (afterwards == Afterwards::kResumed && resume_) resume();
  settings_back();
}

void Outgoing::settings_back() {
  const auto capabilities = std::exchange(capabilities_, Qmp::Json::array());
  if (!capabilities.empty()) qmp_.run("migrate-set-capabilities", {{"capabilities", capabilities}});
  if (bandwidth_) qmp_.run("migrate-set-parameters", {{"max-bandwidth", *bandwidth_}});
  bandwidth_.reset();
}

void Outgoing::resume() { qmp_.run("cont"); }

void Outgoing::end_migration() {
  qmp_.run("migrate_cancel");
  const auto deadline = steady_clock::now() + kEndWait;
  Qmp::Json answer;
  while (!is_over(migration_status(answer)) && steady_clock::now() < deadline) std::this_thread::sleep_for(kPoll);
}

template <typename Step>
void Outgoing::attempt(const char* what, Step step) {
  if (qmp_.broken()) return;
  try {
    step();
  } catch (const Failure& failure) {
    say(fmt::format("{}: cannot {}", failure.message, what));
  } catch (const std::exception& error) {
    say(fmt::format("{}: cannot {}: {}", qmp_.name(), what, error.what()));
  }
}

Outgoing::~Outgoing() {
  if (!cares_) return;
  qmp_.put_back();
  if (qmp_.broken() && resume_) say(fmt::format("{}: the guest may stand still: 'cont' lets it go on", qmp_.name()));
  if (migrating_) attempt("end the migration", [this] { end_migration(); });
  attempt("put QEMU's migration settings back", [this] { settings_back(); });
  if (resume_) attempt("let the guest run again", [this] { resume(); });
}

OutgoingWatch::OutgoingWatch(bool wanted, Qmp& qmp, Tally& tally) : qmp_(qmp) {
  if (!wanted) return;
  try {
    thread_ = std::thread([this, &tally] { watch(tally); });
  } catch (const std::system_error&) {
    // As with the line itself: the work matters more.
  }
}

OutgoingWatch::~OutgoingWatch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void OutgoingWatch::watch(Tally& tally) {
  std::unique_lock lock(mutex_);
  try {
    while (!stopping_) {
      const auto answer = qmp_.run("query-migrate");
      const auto ram = answer.is_object() ? answer.find("ram") : answer.end();
      // Pages of zeros cost next to nothing in the stream, so what is left is an upper bound that sinks.
      if (ram != answer.end()) tally.total = tally.done + Qmp::number(*ram, "remaining");
      stop_.wait_for(lock, kWatchPoll, [this] { return stopping_; });
    }
  } catch (const std::exception&) {
  } catch (const Failure&) {
    // Who reads the stream will see it.
  }
}

}  // namespace snap::tool

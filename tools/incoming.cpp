// SPDX-License-Identifier: Apache-2.0
#include "incoming.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "signals.h"
#include "text.h"

namespace snap::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr milliseconds kPoll{2};
constexpr seconds kLoadedWait{120};  // all is sent by then

void wait_loaded(Qmp& qmp) {
  const auto deadline = steady_clock::now() + kLoadedWait;
  while (true) {
    const auto answer = qmp.run("query-migrate");
    const std::string status = Qmp::text(answer, "status", "none");
    if (status == "completed") return;
    if (status == "failed" || status == "cancelled") {
      const std::string why = Qmp::text(answer, "error-desc", "it says no more; see its standard error");
      throw Failure{kExitIo, fmt::format("{}: QEMU does not take the guest: {}", qmp.name(), printable(why))};
    }
    if (steady_clock::now() > deadline) {
      throw Failure{kExitIo,
                    fmt::format("{}: QEMU has all of the guest but does not end loading it ({})", qmp.name(), printable(status))};
    }
    std::this_thread::sleep_for(kPoll);
  }
}

std::uint64_t send_stream(Qmp& qmp, const RestorePlan& plan, Ahead& stream) {
  const std::string name = fmt::format("vmsnap-{}", ::getpid());
  qmp.give(stream.reading_end().get(), name);
  qmp.run_with(name, "migrate-incoming", {{"uri", "fd:" + name}});
  stream.reading_end() = Fd();  // with QEMU's own gone as well, writing ends
  const Ahead::End end = stream.wait();
  if (!end.made && !end.not_taken) plan.fail(end.made.error());
  // QEMU may have closed the pipe before its last byte, content; else it knows better why.
  if (!end.made && end.made.error().sys_errno != EPIPE) fail(qmp.name(), end.made.error());
  return end.bytes;
}

}  // namespace

std::uint64_t give_guest(Qmp& qmp, const RestorePlan& plan, Ahead& stream) {
  const std::string status = Qmp::text(qmp.run("query-status"), "status", "unknown");
  if (status != "inmigrate") {
    throw Failure{kExitIo,
                  fmt::format("{}: QEMU waits for no guest ({}); start it with -incoming defer", qmp.name(), printable(status))};
  }
  // Whether the guest starts is ours to say, not the stream's.
  qmp.run("stop");
  const std::uint64_t bytes = send_stream(qmp, plan, stream);
  wait_loaded(qmp);
  if (plan.run) qmp.run("cont");
  return bytes;
}

}  // namespace snap::tool

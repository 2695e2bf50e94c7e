// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "text.h"

namespace snap::tool {
namespace {

constexpr int kLineWidth = 60;
constexpr auto kPeriod = std::chrono::milliseconds(100);

void put(const std::string& text) {
  // Padded with blanks rather than cleared by an escape: -p may write into a file.
  const std::string line = fmt::format("\r{:<{}}\r", text, kLineWidth);
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

std::string rate(double bytes, double seconds) {
  return human_bytes(static_cast<std::uint64_t>(bytes / std::max(seconds, 1e-6))) + "/s";
}

std::string minutes(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::min(seconds, 1e9));
  const std::string tail = fmt::format("{:02}:{:02}", whole / 60 % 60, whole % 60);
  return whole < 3600 ? tail : fmt::format("{}:{}", whole / 3600, tail);
}

}  // namespace

bool want_progress(bool forced, bool quiet) { return !quiet && (forced || ::isatty(STDERR_FILENO) == 1); }

std::string progress_line(std::uint64_t done, std::uint64_t total, double seconds) {
  const auto amount = static_cast<double>(done);
  if (total == 0 || done > total) return fmt::format("{}, {}", human_bytes(done), rate(amount, seconds));
  const double share = amount / static_cast<double>(total);
  std::string line = fmt::format("{}, {}", percent(share), rate(amount, seconds));
  if (done != 0) line += fmt::format(", {} left", minutes(seconds / share - seconds));
  return line;
}

std::string summary_line(std::uint64_t in, std::uint64_t out, double seconds) {
  const auto large = static_cast<double>(std::max(in, out)), small = static_cast<double>(std::min(in, out));
  return fmt::format("{} -> {} ({}), {:.1f} s, {}", human_bytes(in), human_bytes(out), percent(large == 0 ? 1 : small / large),
                     seconds, rate(large, seconds));
}

Progress::Progress(bool show, const Tally& tally) : tally_(tally) {
  if (!show) return;
  try {
    ticker_ = std::thread([this] { tick(); });
  } catch (const std::system_error&) {
    // No thread to be had: the work matters more than the line.
  }
}

Progress::~Progress() {
  if (!ticker_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  ticker_.join();
  put("");
}

void Progress::tick() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kPeriod, [this] { return stopping_; })) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    put(progress_line(tally_.done, tally_.total, passed.count()));
  }
}

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// How far a command is, on stderr.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace snap::tool {

/// Whether to show progress: -q says no, -p says yes, else only on a terminal.
bool want_progress(bool forced, bool quiet);

/// How much of how much is done; total 0: not known.
struct Tally {
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> total{0};
};

/// A line on stderr that a thread keeps up to date, ten times a second, until this goes.
class Progress {
 public:
  /// Where `show` is false nothing happens.
  Progress(bool show, const Tally& tally);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void tick();

  const Tally& tally_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread ticker_;
};

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "42.0 %, 1.10 GiB/s, 0:12 left".
std::string progress_line(std::uint64_t done, std::uint64_t total, double seconds);
/// "1.00 GiB -> 141 MiB (13.8 %), 0.9 s, 1.10 GiB/s": share and rate are those of the larger side.
std::string summary_line(std::uint64_t in, std::uint64_t out, double seconds);

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// Times, taken in turn so that what else the machine does falls on all alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "snap/result.h"

namespace bench {

/// Ends the benchmark: figures of a run in which something failed are worth nothing.
[[noreturn]] void die(const std::string& message);

template <typename T>
T must(snap::Result<T> result, const char* doing) {
  if (!result) die(std::string(doing) + ": " + result.error().what);
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

/// Seconds.
struct Sample {
  double wall = 0;
  double cpu = 0;  ///< of all threads, user and system
};

double now();
double process_cpu();

template <typename Work>
Sample timed(Work&& work) {
  const double cpu = process_cpu();
  const double start = now();
  work();
  const double end = now();
  return {end - start, process_cpu() - cpu};
}

struct Stat {
  double median = 0;
  double least = 0;
  double most = 0;
};
Stat stat_of(std::vector<double> values);
/// `amount` per second, in units of `unit`, from seconds.
Stat rate(double amount, const Stat& seconds, double unit);
Stat scaled(const Stat& stat, double factor);

struct Contender {
  std::string name;
  std::function<Sample()> run;
};
struct Series {
  Stat wall;
  Stat cpu;
};
/// All contenders in turn, forwards and backwards, `rounds` times over, after one round that does not count.
std::vector<Series> contest(const std::vector<Contender>& contenders, int rounds);

/// Runs `work(i)` on `threads` threads and waits for them.
template <typename Work>
void on_threads(unsigned threads, Work work) {
  std::vector<std::thread> team;
  for (unsigned i = 0; i < threads; ++i) team.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : team) thread.join();
}

/// A program as its peer: what it prints on standard output is handed to `take`, in pieces. Times are of the whole, from the
/// program's start to its end; CPU is the program's and ours.
Sample run_program(const std::vector<std::string>& words, const std::function<void(int fd)>& take);
/// The same with all output in a string.
std::string output_of(const std::vector<std::string>& words);

std::uint64_t file_bytes(const std::string& path);
/// Reads a file once, so that the page cache has it.
void warm_file(const std::string& path);

}  // namespace bench

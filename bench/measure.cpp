// SPDX-License-Identifier: Apache-2.0
#include "measure.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

extern char** environ;

namespace bench {

namespace {

double seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; }

double cpu_of(const rusage& usage) { return seconds(usage.ru_utime) + seconds(usage.ru_stime); }

}  // namespace

void die(const std::string& message) {
  std::fprintf(stderr, "bench: %s\n", message.c_str());
  std::exit(1);
}

double now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double process_cpu() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

Stat stat_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  const double median = values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

Stat rate(double amount, const Stat& seconds, double unit) {
  return {amount / seconds.median / unit, amount / seconds.most / unit, amount / seconds.least / unit};
}

Stat scaled(const Stat& stat, double factor) { return {stat.median * factor, stat.least * factor, stat.most * factor}; }

std::vector<Series> contest(const std::vector<Contender>& contenders, int rounds) {
  std::vector<std::vector<double>> wall(contenders.size());
  std::vector<std::vector<double>> cpu(contenders.size());
  for (int round = -1; round < rounds; ++round) {
    for (std::size_t turn = 0; turn < contenders.size(); ++turn) {
      // Every other round goes backwards: what one leaves behind, such as memory in pieces, is not always the same other's load.
      const std::size_t i = round % 2 != 0 ? contenders.size() - 1 - turn : turn;
      const Sample sample = contenders[i].run();
      if (round < 0) continue;
      wall[i].push_back(sample.wall);
      cpu[i].push_back(sample.cpu);
    }
  }
  std::vector<Series> all;
  for (std::size_t i = 0; i < contenders.size(); ++i) all.push_back({stat_of(wall[i]), stat_of(cpu[i])});
  return all;
}

Sample run_program(const std::vector<std::string>& words, const std::function<void(int fd)>& take) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) die("cannot make a pipe");
  ::fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  const double cpu = process_cpu();
  const double start = now();
  pid_t child = 0;
  if (::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) die("cannot run " + words[0]);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  take(ends[0]);
  ::close(ends[0]);
  int status = 0;
  rusage usage{};
  if (::wait4(child, &status, 0, &usage) != child || status != 0) die(words[0] + " failed");
  return {now() - start, process_cpu() - cpu + cpu_of(usage)};
}

std::string output_of(const std::vector<std::string>& words) {
  std::string text;
  run_program(words, [&](int fd) {
    char piece[4096];
    while (true) {
      const ssize_t got = ::read(fd, piece, sizeof piece);
      if (got <= 0) break;
      text.append(piece, static_cast<std::size_t>(got));
    }
  });
  return text;
}

std::uint64_t file_bytes(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) die("no file " + path);
  return static_cast<std::uint64_t>(status.st_size);
}

void warm_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) die("cannot open " + path);
  std::vector<char> piece(1u << 20);
  while (::read(fd, piece.data(), piece.size()) > 0) {
  }
  ::close(fd);
}

}  // namespace bench

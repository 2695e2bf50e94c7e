// SPDX-License-Identifier: Apache-2.0
// vmsnap-bench: the figures of docs/performance.md, each beside its peer. bench/run.sh builds and calls it.
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "children.h"
#include "delta.h"
#include "guest_image.h"

namespace {

constexpr const char* kUsage =
    "usage: vmsnap-bench --guest FILE --data DIRECTORY [--old-image FILE --old-stream FILE] [--json FILE]\n"
    "                    [--pairs DIRECTORY] [--figures 123456789] [--rounds N] [--quick] [--codings]\n"
    "       vmsnap-bench restore-many [--guest FILE] [--count 30] [--mib 512] [--percent 5] [--rounds N] [--quick] [--json FILE]\n"
    "       vmsnap-bench delta [OPTION]...      the delta codecs; delta --help says more\n";

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

void describe_machine(bench::Report& report) {
  utsname system{};
  ::uname(&system);
  double loads[1] = {};
  ::getloadavg(loads, 1);
  char load[16];
  std::snprintf(load, sizeof load, "%.1f", loads[0]);
  report.machine("processor", cpu_model() + ", " + std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + " online");
  report.machine("kernel", system.release);
  report.machine("load before", load);
}

void write_json(const bench::Report& report, const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr) bench::die("cannot write " + path);
  report.write_json(file);
  std::fclose(file);
}

int run_deltas(std::vector<std::string> words) {
  std::string json;
  const auto found = std::find(words.begin(), words.end(), "--json");
  if (words.end() - found >= 2) {
    json = found[1];
    words.erase(found, found + 2);
  }
  bench::Report report;
  describe_machine(report);
  const int code = bench::measure_deltas(words, report);
  if (code == 0 && !json.empty()) write_json(report, json);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto rest = [&] { return std::vector<std::string>(words.begin() + 1, words.end()); };
  if (!words.empty() && words[0] == "--child-create") return bench::child_create(rest());
  if (!words.empty() && words[0] == "--child-open") return bench::child_open(rest());
  if (!words.empty() && words[0] == "--child-decode") return bench::child_decode(rest());
  if (!words.empty() && words[0] == "--child-decode-blocks") return bench::child_decode_blocks(rest());

  if (!words.empty() && words[0] == "delta") return run_deltas(rest());

  bench::Report report;
  bench::Setup setup;
  setup.report = &report;
  char self[4096] = {};
  if (::readlink("/proc/self/exe", self, sizeof self - 1) < 0) bench::die("cannot tell this program's path");
  setup.self = self;
  std::string figures = "12345789";
  std::string pairs;
  bench::RestoreMany many;
  const bool only_many = !words.empty() && words[0] == "restore-many";
  std::string json;
  bool codings = false;
  bool rounds_given = false;
  for (std::size_t i = only_many ? 1 : 0; i < words.size(); ++i) {
    const auto value = [&]() -> const std::string& {
      if (i + 1 == words.size()) bench::die(words[i] + " wants a value");
      return words[++i];
    };
    if (words[i] == "--guest")
      setup.guest = value();
    else if (words[i] == "--pairs")
      pairs = value();
    else if (words[i] == "--count")
      many.count = static_cast<unsigned>(std::stoul(value()));
    else if (words[i] == "--mib")
      many.bytes = std::stoul(value()) << 20;
    else if (words[i] == "--percent")
      many.share = std::stod(value()) / 100;
    else if (words[i] == "--old-image")
      setup.old_image = value();
    else if (words[i] == "--old-stream")
      setup.old_stream = value();
    else if (words[i] == "--data")
      setup.data = value();
    else if (words[i] == "--json")
      json = value();
    else if (words[i] == "--figures")
      figures = value();
    else if (words[i] == "--rounds")
      setup.rounds = std::stoi(value()), rounds_given = true;
    else if (words[i] == "--quick")
      setup.quick = true;
    else if (words[i] == "--codings")
      codings = true;
    else {
      std::fputs(kUsage, stderr);
      return 2;
    }
  }
  if (only_many) figures = "8";
  if (figures.find('6') != std::string::npos && pairs.empty()) bench::die("figure 6 wants --pairs");
  if (!only_many && (setup.guest.empty() || setup.data.empty())) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  if (setup.quick && !rounds_given) setup.rounds = 5;
  if (!setup.guest.empty()) {
    setup.guest_bytes = bench::file_bytes(setup.guest);
    bench::warm_file(setup.guest);
    report.machine("guest", std::to_string(setup.guest_bytes >> 20) + " MiB");
  }
  describe_machine(report);
  report.machine("rounds", std::to_string(setup.rounds));

  if (codings) {
    bench::print_codings(setup);
    return 0;
  }
  const auto wanted = [&](char figure) { return figures.find(figure) != std::string::npos; };
  if (wanted('1')) bench::measure_restore(setup);
  if (wanted('2')) bench::measure_random_reads(setup);
  if (wanted('3')) bench::measure_create(setup);
  if (wanted('4')) bench::measure_sizes(setup);
  if (wanted('5')) bench::measure_old_image(setup);
  if (wanted('6')) bench::measure_pairs(setup, pairs);
  if (wanted('7')) bench::measure_small_change(setup);
  if (wanted('8')) bench::measure_restore_many(setup, many);
  if (wanted('9')) bench::measure_chain(setup);
  report.print(stdout);
  if (!json.empty()) write_json(report, json);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "commands.h"
#include "report.h"

namespace snap::tool {
namespace {

constexpr const char* kProgram = "vmsnap-bench";

std::filesystem::path own_directory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

[[noreturn]] void fail_not_installed(const std::string& directory) {
  const std::string beside = directory.empty() ? "" : fmt::format("in {} or ", directory);
  throw Failure{kExitNotFound, fmt::format("{} is not installed: it is not {}in the PATH", kProgram, beside)};
}

}  // namespace

void run_bench(char** argv) {
  std::string name(kProgram);
  argv[1] = name.data();
  const std::filesystem::path directory = own_directory();
  if (!directory.empty()) {
    const std::string beside = (directory / kProgram).string();
    ::execv(beside.c_str(), argv + 1);
    if (errno != ENOENT) fail_errno(beside, "cannot run");
  }
  ::execvp(kProgram, argv + 1);
  if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) fail_errno(kProgram, "cannot run");
  fail_not_installed(directory.string());
}

// For the help alone.
Command add_bench(Options& options) {
  auto arguments = std::make_shared<std::vector<std::string>>();
  options.operands("ARGUMENTS", *arguments, "What vmsnap-bench takes: 'vmsnap bench --help' tells");
  return []() -> int { fail_not_installed(""); };
}

}  // namespace snap::tool

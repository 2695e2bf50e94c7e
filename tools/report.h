// SPDX-License-Identifier: Apache-2.0
// How a command ends: what it says on stderr, and its exit status.
#pragma once

#include <string>
#include <string_view>

#include "snap/result.h"

namespace snap::tool {

/// The exit statuses, which vmsnap(1) documents. A signal gives 128 + its number.
enum Exit : int {
  kExitOk = 0,
  kExitDiffers = 1,
  kExitUsage = 2,
  kExitIo = 3,
  kExitDamaged = 4,
  kExitIncomplete = 5,
  kExitUnsupported = 6,
  kExitParent = 7,
  kExitNotFound = 8,
  kExitInternal = 9,
};

/// Thrown to end a command. Destructors remove what was begun; main() prints `message`, unless empty, and exits with `status`.
struct Failure {
  int status;
  std::string message;
};

int exit_status(const Error& error);
/// "at offset 4096: record head does not fit its check": all but the file's name.
std::string describe(const Error& error, std::string_view feature = {});

[[noreturn]] void fail(std::string_view file, const Error& error, std::string_view feature = {});
/// With errno as it stands.
[[noreturn]] void fail_errno(std::string_view file, const char* what);
[[noreturn]] void fail_usage(std::string message);

/// The value of a result, or the end of the command with the file's name before the cause.
template <typename T>
T must(Result<T> result, std::string_view file) {
  if (!result) fail(file, result.error());
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

/// A line on stderr, as "vmsnap: message".
void say(std::string_view message);
/// Text on stdout, at once; ends the command where stdout takes no more.
void print(std::string_view text);

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "signals.h"
#include "text.h"

namespace snap::tool {

int exit_status(const Error& error) {
  switch (error.code) {
    case Code::kOk:
      return kExitOk;
    case Code::kTruncated:
      return kExitIncomplete;
    case Code::kCorrupt:
      return kExitDamaged;
    case Code::kUnsupported:
    case Code::kLimit:
      return kExitUnsupported;
    case Code::kParentMismatch:
      return kExitParent;
    case Code::kIo:
      return error.sys_errno == EPIPE ? 128 + SIGPIPE : kExitIo;
    case Code::kNoMemory:
      return kExitInternal;
    case Code::kInvalidArgument:
      return kExitUsage;
    case Code::kNotFound:
      return kExitNotFound;
    case Code::kCancelled:
      return 128 + caught_signal();
  }
  return kExitInternal;
}

std::string describe(const Error& error, std::string_view feature) {
  const bool has_place = error.code == Code::kCorrupt || error.code == Code::kTruncated || error.file_offset != 0;
  std::string text = has_place ? fmt::format("at offset {}: {}", error.file_offset, error.what) : error.what;
  if (!feature.empty()) {
    text += fmt::format(" '{}'", printable(feature));
  } else if (error.detail != 0) {
    text += fmt::format(" ({})", error.detail);
  }
  if (error.code == Code::kIo && error.sys_errno != 0) text += fmt::format(": {}", std::strerror(error.sys_errno));
  return text;
}

void fail(std::string_view file, const Error& error, std::string_view feature) {
  const int status = exit_status(error);
  // Who closed the pipe, or sent the signal, knows.
  if (status > 128) throw Failure{status, {}};
  throw Failure{status, fmt::format("{}: {}", file, describe(error, feature))};
}

void fail_errno(std::string_view file, const char* what) {
  const int sys_errno = errno;
  if (sys_errno == EINTR && caught_signal() != 0) fail(file, Error{.code = Code::kCancelled});
  fail(file, Error{.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(sys_errno), .what = what});
}

void fail_usage(std::string message) { throw Failure{kExitUsage, std::move(message)}; }

void say(std::string_view message) {
  const std::string line = fmt::format("vmsnap: {}\n", message);
  // Nobody is left to be told when stderr fails.
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

void print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR || caught_signal() != 0) {
      fail_errno("standard output", "cannot write");
    }
  }
}

}  // namespace snap::tool

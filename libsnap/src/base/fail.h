// SPDX-License-Identifier: Apache-2.0
// Short names for the errors that parsers return.
#pragma once

#include <cerrno>

#include "snap/result.h"

namespace snap {

inline Error fail(Code code, const char* what, std::uint64_t offset = 0, std::uint64_t detail = 0) {
  return Error{code, 0, 0, offset, what, detail};
}
inline Error corrupt(std::uint64_t offset, const char* what, std::uint64_t detail = 0) {
  return fail(Code::kCorrupt, what, offset, detail);
}
inline Error truncated(std::uint64_t offset, const char* what) { return fail(Code::kTruncated, what, offset); }
inline Error unsupported(std::uint64_t offset, const char* what, std::uint64_t detail = 0) {
  return fail(Code::kUnsupported, what, offset, detail);
}
inline Error invalid(const char* what, std::uint64_t detail = 0) { return fail(Code::kInvalidArgument, what, 0, detail); }
inline Error io_error(const char* what, std::uint64_t offset = 0, int error = errno) {
  return Error{error == ENOMEM ? Code::kNoMemory : Code::kIo, static_cast<std::int16_t>(error), 0, offset, what, 0};
}

/// Whether an error is some file's, rather than the process's or the caller's wish.
inline bool is_of_a_file(const Error& error) { return error.code != Code::kNoMemory && error.code != Code::kCancelled; }

/// An error of the parent, as its child tells it.
inline Error of_parent(Error error) {
  if (is_of_a_file(error)) ++error.ancestor;
  return error;
}

/// An error of a file of a chain, `distance` parents away from the one that tells it.
inline Error of_ancestor(Error error, unsigned distance) {
  if (is_of_a_file(error)) error.ancestor = static_cast<std::uint16_t>(distance);
  return error;
}

}  // namespace snap

/// Leaves the function with the error of a Result that holds one.
#define SNAP_TRY(expression)                       \
  do {                                             \
    if (auto snap_try_result = (expression); !snap_try_result) return snap_try_result.error(); \
  } while (false)

/// `variable` becomes the value of a Result, or the function is left with its error.
#define SNAP_TRY_ASSIGN(variable, expression)                            \
  auto variable##_result = (expression);                                 \
  if (!variable##_result) return variable##_result.error();              \
  auto variable = std::move(variable##_result).value()

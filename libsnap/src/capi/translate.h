// SPDX-License-Identifier: Apache-2.0
// What the C functions share: C structs <-> C++ values, and no exception past this point.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "snap/io.h"
#include "snap/result.h"
#include "snap/snap.h"

struct snap_job {
  std::atomic<std::uint64_t> progress{0};
  std::atomic<bool> cancel{false};
};

namespace snap::capi {

inline Error invalid(const char* what) { return Error{.code = Code::kInvalidArgument, .what = what}; }
inline Error no_region() { return Error{.code = Code::kNotFound, .what = "no region of that number"}; }

/// An errno as Error holds it; EIO for a number that is none.
inline std::int16_t errno_of(int number) {
  return number > 0 && number <= INT16_MAX ? static_cast<std::int16_t>(number) : static_cast<std::int16_t>(EIO);
}

inline void fill(snap_error& out, const Error& error) {
  out = {static_cast<std::int32_t>(error.code), error.sys_errno, error.ancestor, error.file_offset, error.what, error.detail};
}

/// Runs `body`, which answers a Result<void>, and makes its answer, or what it threw, a code.
template <typename Body>
std::int32_t guarded(snap_error* error, Body&& body) noexcept {
  Error answer;
  try {
    Result<void> result = body();
    answer = result.error();
  } catch (const std::bad_alloc&) {
    answer = Error{.code = Code::kNoMemory, .what = "out of memory"};
  } catch (const std::system_error& thrown) {  // a thread that could not be started
    answer = Error{.code = Code::kIo, .sys_errno = errno_of(thrown.code().value()), .what = "the system refused a resource"};
  } catch (...) {  // length_error and the like: a size that no container can have
    answer = Error{.code = Code::kNoMemory, .what = "a size is beyond what memory can hold"};
  }
  if (error) fill(*error, answer);
  return static_cast<std::int32_t>(answer.code);
}

/// Copies a caller's struct over `out`, which holds the defaults. A struct that is longer than ours comes from a newer header:
/// what we do not know must be zero. When a struct grows, `least_bytes` stays the size of its first version.
template <typename T>
Result<void> take(T& out, const T* in, std::size_t least_bytes = sizeof(T)) {
  if (!in) return {};
  const std::size_t bytes = in->struct_size;
  if (bytes < least_bytes) return invalid("struct_size is too small");
  for (std::size_t i = sizeof(T); i < bytes; ++i) {
    if (reinterpret_cast<const unsigned char*>(in)[i] != 0) {
      return Error{.code = Code::kUnsupported, .what = "a field of a newer interface is set", .detail = i};
    }
  }
  std::memcpy(&out, in, std::min(bytes, sizeof(T)));
  return {};
}

/// Copies an answer into a caller's struct as far as it reaches; its struct_size stays.
template <typename T>
Result<void> give(T* out, T value, std::size_t least_bytes = sizeof(T)) {
  if (!out) return invalid("no place for the answer");
  const std::size_t bytes = out->struct_size;
  if (bytes < least_bytes) return invalid("struct_size is too small");
  value.struct_size = out->struct_size;
  std::memcpy(out, &value, std::min(bytes, sizeof(T)));
  return {};
}

/// The caller's source as ours.
Result<std::unique_ptr<RandomSource>> make_source(const snap_source* source);
Result<std::unique_ptr<ByteSink>> make_sink(const snap_sink* sink);

}  // namespace snap::capi

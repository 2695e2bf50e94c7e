// SPDX-License-Identifier: Apache-2.0
// Result<T> and Error: how every function of libsnap that can fail answers.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)
namespace snap {

/// What a caller decides on. The numbers have gaps and are never changed; the C ABI uses the same (SNAP_E_*).
enum class Code : std::int32_t {
  kOk = 0,
  kTruncated = 10,       ///< the file ends before its end: incomplete
  kCorrupt = 20,         ///< bytes are not what was written, or not legal
  kUnsupported = 30,     ///< legal, but this version or build does not know it
  kLimit = 40,           ///< over a limit of the format or one the caller set
  kParentMismatch = 50,  ///< the parent offered is not the one recorded
  kIo = 60,              ///< the operating system refused; see sys_errno
  kNoMemory = 70,
  kInvalidArgument = 80,
  kNotFound = 90,
  kCancelled = 100,
};

/// 32 bytes, allocates nothing. The library works on descriptors; who knows a file's name adds it.
struct [[nodiscard]] Error {
  Code code = Code::kOk;
  std::int16_t sys_errno = 0;      ///< errno where code is kIo, else 0
  std::uint16_t ancestor = 0;      ///< whose error it is in a chain: 0 this file's, 1 its parent's, 2 that one's parent's
  std::uint64_t file_offset = 0;   ///< where in the file or stream, in bytes
  const char* what = "";           ///< a literal: lower case, no full stop
  std::uint64_t detail = 0;        ///< a number that belongs to `what`: a block, a version, a feature bit
};
static_assert(sizeof(Error) == 32);

/// A value or an Error; shaped like std::expected.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : error_(error) {}         // NOLINT(google-explicit-constructor)

  bool has_value() const { return value_.has_value(); }
  explicit operator bool() const { return has_value(); }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return std::move(*value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  const Error& error() const { return error_; }

 private:
  std::optional<T> value_;
  Error error_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(error) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return error_.code == Code::kOk; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const { return error_; }

 private:
  Error error_;
};

/// The name of a code, such as "corrupt".
const char* code_name(Code code);

}  // namespace snap
#pragma GCC visibility pop

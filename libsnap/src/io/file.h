// SPDX-License-Identifier: Apache-2.0
// The seam between the library and the operating system: tests put faulty and recording files here.
#pragma once

#include "snap/io.h"

namespace snap {

/// pread on a descriptor that the caller keeps open.
class PosixSource : public RandomSource {
 public:
  explicit PosixSource(int fd) : fd_(fd) {}
  Result<std::uint64_t> size() override;
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override;
  Result<std::uint64_t> next_data(std::uint64_t offset) override;

 protected:
  int fd_;
};

void enlarge_pipe(int fd);

/// pwrite of all bytes.
Result<void> write_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset);

/// Fills `out` or fails; kTruncated with `what` where the file ends before.
Result<void> read_exact(RandomSource& source, std::uint64_t offset, std::span<std::byte> out, const char* what);

/// An unlinked read-write file in a directory, /var/tmp for -1. The descriptor is the caller's.
Result<int> anonymous_file(int dir_fd);

}  // namespace snap

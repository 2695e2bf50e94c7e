// SPDX-License-Identifier: Apache-2.0
// The file without a name for pages that came again in a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fail.h"
#include "io/file.h"

namespace snap {

/// Made in the directory `dir_fd` by the first write, which sets `fd`: -1 until then.
inline Result<void> write_spool(int& fd, int dir_fd, std::span<const std::byte> bytes, std::uint64_t offset) {
  if (fd < 0) {
    SNAP_TRY_ASSIGN(made, anonymous_file(dir_fd));
    fd = made;
  }
  auto written = write_at(fd, bytes, offset);
  if (written) return written;
  Error error = written.error();
  error.what = "cannot write the spool file of pages that came again";
  return error;
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// The zlib stream of a RAM section as inflated buffers. Inflating is the slowest step and cannot be divided, so it gets a
// thread that does nothing else; reading, and all that is done with the buffers, is the caller's.
#pragma once

#include <memory>
#include <span>

#include "vmm/cblocks.h"

namespace snap {

class InflatePipe {
 public:
  virtual ~InflatePipe() = default;
  /// threads 0: everything in the caller's thread. So it is where the system gives no thread.
  static std::unique_ptr<InflatePipe> create(CblockReader& input, unsigned threads);

  /// The next inflated bytes, empty at the end of the zlib stream. The caller may change them; they stay until the next call.
  virtual Result<std::span<std::byte>> next() = 0;
  /// After the end: bytes of the zlib stream, its trailer included.
  virtual std::uint64_t consumed() const = 0;
};

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// A pipe to or from QEMU.
#pragma once

#include <atomic>
#include <cstdint>

#include "open.h"
#include "snap/io.h"

namespace snap::tool {

struct Pipe {
  Fd read, write;
};

/// As large as the system lets; closed in programs that are started.
Pipe make_pipe();

bool is_pipe(int fd);

/// For who fills a pipe: this thread, and those that it starts from then on, leave the processors to whoever reads it. A VMM that loads a
/// guest waits for its own processor otherwise, with the pipe full of what our workers made on it.
void let_reader_go_first();

/// Writes into a pipe. A wait for its reader ends with a signal, with `stop`, or after minutes without a byte taken.
class PipeSink final : public ByteSink {
 public:
  explicit PipeSink(Fd pipe, const std::atomic<bool>* stop = nullptr);
  Result<void> write(std::span<const std::byte> bytes) override;
  /// The reader sees the end.
  void close() { pipe_ = Fd(); }
  /// Whether the pipe, and not what is written into it, is why writing failed.
  bool failed() const { return failed_; }
  std::uint64_t taken_bytes() const { return taken_; }

 private:
  Result<void> wait() const;

  Fd pipe_;
  const std::atomic<bool>* stop_;
  bool failed_ = false;
  std::uint64_t taken_ = 0;
};

}  // namespace snap::tool

// SPDX-License-Identifier: Apache-2.0
// The zlib stream in pieces as the old writers made it. zlib itself: another deflate gives other bytes.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "snap/io.h"
#include "vmm/recipe.h"
#include "vmm/stream.h"

namespace snap {

class CblockEncoder {
 public:
  /// kCorrupt where the parameters are none that zlib takes.
  static Result<std::unique_ptr<CblockEncoder>> create(const DeflateParams& params, ByteSink& sink);
  ~CblockEncoder() { deflateEnd(&zlib_); }
  CblockEncoder(const CblockEncoder&) = delete;
  CblockEncoder& operator=(const CblockEncoder&) = delete;

  /// Blocks with their type bytes.
  Result<void> feed(std::span<const std::byte> records) { return run(records, Z_NO_FLUSH); }
  Result<void> finish();

 private:
  CblockEncoder(std::size_t piece_bytes, ByteSink& sink) : sink_(sink), piece_bytes_(piece_bytes), piece_(4 + piece_bytes) {}
  Result<void> run(std::span<const std::byte> records, int flush);
  Result<void> emit();

  ByteSink& sink_;
  std::size_t piece_bytes_;
  Bytes piece_;  // head and bytes
  Bytes ready_;  // whole pieces on their way to the sink
  z_stream zlib_{};
};

/// Compares what comes with a stream's bytes from `offset` on.
class ComparingSink final : public ByteSink {
 public:
  ComparingSink(StreamSource& stream, std::uint64_t offset) : stream_(stream), offset_(offset) {}
  Result<void> write(std::span<const std::byte> bytes) override;
  bool same() const { return same_; }
  std::uint64_t offset() const { return offset_; }

 private:
  StreamSource& stream_;
  std::uint64_t offset_;
  bool same_ = true;
  Bytes original_;
};

}  // namespace snap

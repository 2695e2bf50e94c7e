// SPDX-License-Identifier: Apache-2.0
// Giving a guest's memory back whole, at memory speed.
#pragma once

#include <atomic>
#include <span>

#include "snap/io.h"
#include "snap/reader.h"

#pragma GCC visibility push(default)
namespace snap {

struct RestoreOptions {
  unsigned threads = 1;  ///< worker threads; 0: all work in the caller's thread
  /// The target already reads as zeros (a fresh anonymous mapping, a new sparse file): zero pages are not touched.
  bool target_is_zero = true;
  std::atomic<std::uint64_t>* progress = nullptr;  ///< counts bytes of the region dealt with; may be null
  const std::atomic<bool>* cancel = nullptr;       ///< set by another thread or a signal handler: ends with kCancelled
};

/// A region into memory of its size. After an error the content of `memory` is undefined.
Result<void> restore_to_memory(Reader& reader, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options);

/// A region into a file (a regular file or a block device, open for writing) from `file_offset` on. Zeros become holes where
/// target_is_zero. The file's size afterwards is at least file_offset + region size. Nothing is synced.
Result<void> restore_to_file(Reader& reader, std::size_t region, int fd, std::uint64_t file_offset, const RestoreOptions& options);

/// A region in order into a sink (a pipe), decoded ahead on `threads` workers.
Result<void> restore_to_sink(Reader& reader, std::size_t region, ByteSink& sink, const RestoreOptions& options);

/// What a front-to-back reader delivers, in file order, from one thread.
class StreamVisitor {
 public:
  virtual ~StreamVisitor() = default;
  /// A region opens; info.size may be kUnknownSize.
  virtual Result<void> region_begin(std::size_t region, const RegionInfo& info) = 0;
  /// Bytes of the open region, ascending. What is left out is zero. Never past the size, even where region_end() tells it first.
  virtual Result<void> region_bytes(std::size_t region, std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual Result<void> region_end(std::size_t region, std::uint64_t size) = 0;
};

struct StreamResult {
  Digest digest;
  Metadata metadata;
  std::uint64_t file_bytes = 0;
};

/// Reads a snapshot front to back from a pipe in bounded memory (at most the copy window and a few blocks).
/// What the visitor got is certain only when this returns without error.
Result<StreamResult> read_stream(ByteSource& source, StreamVisitor& visitor);

}  // namespace snap
#pragma GCC visibility pop

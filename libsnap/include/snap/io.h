// SPDX-License-Identifier: Apache-2.0
// Where bytes come from and go to. The library opens no file by name; callers hand it these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "snap/result.h"

#pragma GCC visibility push(default)
namespace snap {

/// One read of a batch. `done` says how many bytes arrived: less than out.size() only at the end of the file.
struct ReadRequest {
  std::uint64_t offset = 0;
  std::span<std::byte> out;
  std::size_t done = 0;
};

/// A file that can be read at any place. Every method may be called from any thread at any time.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual Result<std::uint64_t> size() = 0;
  /// Reads until `out` is full or the file ends; answers how many bytes it read. Interrupted and short reads are continued.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) = 0;
  /// All reads of the batch; one submission where the source can. The first error ends it.
  virtual Result<void> read_batch(std::span<ReadRequest> batch);
  /// The bytes themselves, unread, where the source has them in memory; they stay as they are while it is used. Default: none.
  virtual std::span<const std::byte> bytes_at(std::uint64_t offset, std::size_t length);
  /// The next offset >= `offset` that may hold data (SEEK_DATA), or the size where none does. Default: `offset`.
  virtual Result<std::uint64_t> next_data(std::uint64_t offset);
};

/// A stream of bytes, read once. One thread at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Reads at least one byte unless the stream ended, which is answered by 0.
  virtual Result<std::size_t> read(std::span<std::byte> out) = 0;
};

/// Takes bytes in order. One thread at a time.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  /// Takes all bytes or fails.
  virtual Result<void> write(std::span<const std::byte> bytes) = 0;
};

/// A file open in `fd`, read with pread. The descriptor stays the caller's, who keeps it open.
std::unique_ptr<RandomSource> file_source(int fd);
/// The same with batches read through io_uring; where the kernel refuses a ring, this is file_source().
std::unique_ptr<RandomSource> uring_source(int fd);
/// Bytes in memory, which the caller keeps.
std::unique_ptr<RandomSource> memory_source(std::span<const std::byte> bytes);

/// A pipe, socket or file open in `fd`. A pipe is enlarged as far as the system lets.
std::unique_ptr<ByteSource> stream_source(int fd);
/// The bytes [offset, offset + length) of a random source as a stream. The source must outlive it.
std::unique_ptr<ByteSource> range_stream(RandomSource& source, std::uint64_t offset, std::uint64_t length);

/// Writes to `fd` where it stands; short writes are continued. The descriptor stays the caller's.
std::unique_ptr<ByteSink> stream_sink(int fd);
/// Appends to a vector that the caller keeps.
std::unique_ptr<ByteSink> memory_sink(std::vector<std::byte>& bytes);

/// Reads until `out` is full or the stream ends; answers how many bytes it read.
Result<std::size_t> read_full(ByteSource& source, std::span<std::byte> out);

/// A file that gets its name only when it is whole: O_TMPFILE or a hidden temporary name in the target's directory, mode 0600,
/// then fsync, rename, fsync of the directory. Destroyed without commit(), it leaves nothing.
class AtomicFile {
 public:
  static Result<std::unique_ptr<AtomicFile>> create(const char* path);
  virtual ~AtomicFile() = default;
  virtual int fd() const = 0;
  /// After an error the target is as it was before.
  virtual Result<void> commit() = 0;
};

}  // namespace snap
#pragma GCC visibility pop

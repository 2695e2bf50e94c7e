// SPDX-License-Identifier: Apache-2.0
// A file of the view: which of its bytes are what of a snapshot.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <span>
#include <string>
#include <vector>

#include "snap/reader.h"

namespace snap::view {

/// [at, at + length) of a file is [offset, offset + length) of a region.
struct Stretch {
  std::uint64_t at = 0;
  std::uint64_t length = 0;
  std::size_t region = 0;
  std::uint64_t offset = 0;
};

/// What the kernel may ask for at once: a part of its read-ahead, so that several threads decode it, and who waits for a page waits for this part.
constexpr std::size_t kMostRead = 256u << 10;
/// How far the kernel is to read ahead.
constexpr std::size_t kReadAhead = 1u << 20;

/// The bytes of an answer, where they lie: in memory of its own for what is decoded. One thread at a time, over and over.
class Answer {
 public:
  Answer();
  ~Answer();
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  void clear();
  /// Room for bytes that come next; kMostRead at most until clear().
  std::span<std::byte> take(std::size_t bytes);
  void add_zeros(std::size_t bytes);
  /// Bytes that stay where they are until the answer has been given. (Short pieces are copied: a write of more than 1024 is refused.)
  void add(std::span<const std::byte> bytes);
  std::span<const iovec> pieces() const { return pieces_; }

 private:
  void append(const void* bytes, std::size_t length);
  static constexpr std::size_t kShort = 4096;

  std::byte* memory_;
  std::size_t taken_ = 0;
  std::vector<iovec> pieces_;
};

/// Any thread may call any method.
class File {
 public:
  /// Of memory: ascending stretches that do not overlap; between them and before `size` there are holes.
  File(Reader& reader, std::vector<Stretch> stretches, std::uint64_t size);
  /// Of text.
  File(Reader& reader, std::string text);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// What has to be done before the first byte is read, once.
  using Prepare = std::function<Result<void>(File&)>;
  void prepare_with(Prepare prepare) {
    prepare_ = std::move(prepare);
    ready_ = false;
  }
  Result<void> prepare();
  bool ready() const { return ready_; }
  /// It is what a VMM maps: worth having decoded ahead.
  bool mapped() const { return mapped_; }
  void set_mapped() { mapped_ = true; }
  /// Its size is only known once it is prepared; until then it is 0.
  bool grows() const { return grows_; }
  void set_grows() { grows_ = true; }

  /// How many reads decode at once.
  void set_gate(std::counting_semaphore<>& gate) { gate_ = &gate; }

  /// For prepare: the first bytes of the file, in place of what lies there.
  void set_head(std::vector<std::byte> head) { head_ = std::move(head); }
  /// For prepare: all of it is in this file, which becomes its own.
  void set_spool(int fd, std::uint64_t size);

  std::uint64_t size() const { return size_; }
  /// What of it is not hole, at most: for st_blocks.
  std::uint64_t stored_bytes() const { return grows_ ? size() : stored_; }
  const std::vector<Stretch>& stretches() const { return stretches_; }

  /// Bytes of the file; past its end there are none. An error stands for all of them.
  Result<void> read(std::uint64_t offset, std::size_t length, Answer& answer);
  /// SEEK_DATA, or else SEEK_HOLE: the first such byte from `offset`, which lies inside the file, on; the size where there is none.
  Result<std::uint64_t> next(std::uint64_t offset, bool data);
  /// Calls `visit` for each piece of a region that bytes of the file show.
  void shown(std::uint64_t offset, std::uint64_t length, const std::function<void(const Stretch&)>& visit) const;
  /// Calls `visit` for each stretch of the file that shows a part of the region's bytes.
  void places(std::size_t region, std::uint64_t offset, std::uint64_t length, const std::function<void(const Stretch&)>& visit) const;

 private:
  /// What lies at an offset: a stretch's rest, or a hole (region = kHole) up to the next or the end.
  static constexpr std::size_t kHole = ~std::size_t{0};
  Stretch at(std::uint64_t offset) const;
  std::uint64_t count_stored() const;
  Result<void> read_memory(const Stretch& part, Answer& answer);
  Result<Extent> extent(std::uint64_t offset);

  Reader& reader_;
  std::vector<Stretch> stretches_;
  std::vector<std::byte> head_;
  int spool_ = -1;
  std::atomic<std::uint64_t> size_;
  std::counting_semaphore<>* gate_ = nullptr;
  Prepare prepare_;
  std::mutex preparing_;
  std::atomic<bool> ready_{true};
  bool grows_ = false;
  bool mapped_ = false;
  std::uint64_t stored_ = 0;
};

}  // namespace snap::view

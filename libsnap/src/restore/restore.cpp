// SPDX-License-Identifier: Apache-2.0
#include "snap/restore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "base/fail.h"
#include "base/threads.h"
#include "read/opened.h"
#include "restore/units.h"

namespace snap {

namespace {

Result<OpenedImage*> opened(Reader& reader, std::size_t region) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  auto* image = dynamic_cast<OpenedImage*>(&reader);
  if (image == nullptr) return invalid("a reader of another kind");
  return image;
}

/// `work(index)` for 0 … count-1 on the threads that the options ask for. The first error ends it.
template <typename Work>
Result<void> for_each_piece(std::uint64_t count, const RestoreOptions& options, Work work) {
  std::atomic<std::uint64_t> next{0};
  std::mutex mutex;
  Error error;
  const auto note = [&](const Error& found) {
    const std::lock_guard lock(mutex);
    if (error.code == Code::kOk) error = found;
    next = count;
  };
  const auto loop = [&] {
    try {
      for (std::uint64_t index = next++; index < count; index = next++) {
        if (options.cancel != nullptr && *options.cancel) return note(fail(Code::kCancelled, "cancelled"));
        if (const auto done = work(index); !done) return note(done.error());
      }
    } catch (const std::bad_alloc&) {
      note(fail(Code::kNoMemory, "out of memory"));
    }
  };
  if (options.threads == 0) {
    loop();
  } else {
    ThreadGroup threads;
    if (const auto started = threads.start(options.threads, [&](unsigned) { loop(); }); !started) note(started.error());
    threads.join();
  }
  if (error.code != Code::kOk) return error;
  return {};
}

/// Each thread's own memory.
struct WorkMemory {
  Scratch scratch;
  Bytes span;
  Bytes out;
};

/// What the copies of each block may cost.
class Allowance {
 public:
  explicit Allowance(Image& image) : block_pages_(image.header().block_pages()) {}
  /// Copies come in the order of their pages.
  ReadTask of(const UnitCopy& copy) {
    if (std::exchange(block_, copy.page / block_pages_) != copy.page / block_pages_) left_ = ReadTask::kAllowance;
    return {.allowance = &left_};
  }

 private:
  std::uint64_t block_pages_;
  std::uint64_t block_ = ~std::uint64_t{0};
  std::uint32_t left_ = ReadTask::kAllowance;
};

/// A region into the caller's memory; the short last page, if any, by way of memory of our own. A child's blocks into memory that
/// holds the parent's bytes.
class MemoryRestore {
 public:
  MemoryRestore(OpenedImage& image, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options)
      : image_(image), decoder_(image.image(), region, image.link(), !image.link() && fresh(memory, options)), region_(region), memory_(memory), options_(options),
        target_(image.link() ? Target::kParent : options.target_is_zero ? Target::kZeros : Target::kAnything) {}

  Result<void> run() {
    UnitRunner runner(decoder_, region_, options_, [this](std::span<const UnitCopy> copies) { return apply(copies); });
    return runner.run([this] {
      auto mine = std::make_shared<WorkMemory>();
      return [this, mine](const Unit& unit, UnitDone& done) { return restore(unit, done, *mine); };
    });
  }

 private:
  static bool fresh(std::span<std::byte> memory, const RestoreOptions& options) {
    return options.target_is_zero && reinterpret_cast<std::uintptr_t>(memory.data()) % kPageBytes == 0;
  }

  Result<void> restore(const Unit& unit, UnitDone& done, WorkMemory& mine) {
    const std::size_t there = static_cast<std::size_t>(std::min<std::uint64_t>(unit.bytes, memory_.size() - unit.offset));
    const auto target = memory_.subspan(unit.offset, there);
    if (there == unit.bytes) {
      SNAP_TRY(decoder_.decode(unit, target, target_, mine.scratch, mine.span, done));
      if (target_ == Target::kAnything) decoder_.clear_absent(unit, target, done);
    } else {
      mine.out.assign(unit.bytes, std::byte{0});
      if (target_ == Target::kParent) SNAP_TRY(image_.link()->read(region_, unit.offset, mine.out, {}));
      SNAP_TRY(decoder_.decode(unit, mine.out, target_ == Target::kParent ? target_ : Target::kZeros, mine.scratch, mine.span, done));
      // Without a record it is the parent's, and nobody's here.
      if (target_ != Target::kParent || done.present.back()) SNAP_TRY(verify_filling(mine.out, unit.offset, memory_.size(), 0));
      std::memcpy(target.data(), mine.out.data(), there);
    }
    return {};
  }

  Result<void> apply(std::span<const UnitCopy> copies) {
    Allowance allowance(image_.image());
    for (const UnitCopy& copy : copies) {
      const std::size_t offset = static_cast<std::size_t>(copy.page) * kPageBytes;
      const std::size_t there = std::min<std::size_t>(kPageBytes, memory_.size() - offset);
      const std::uint64_t from = copy.source.page.page * kPageBytes;
      if (!copy.source.of_parent && copy.source.page.region == region_ && from + kPageBytes <= memory_.size()) {
        SNAP_TRY(verify_filling(memory_.subspan(from, kPageBytes), offset, memory_.size(), 0));
        std::memcpy(memory_.data() + offset, memory_.data() + from, there);
        continue;
      }
      std::byte page[kPageBytes];
      SNAP_TRY(image_.read_source(copy.source, page, allowance.of(copy)));
      SNAP_TRY(verify_filling(page, offset, memory_.size(), 0));
      std::memcpy(memory_.data() + offset, page, there);
    }
    return {};
  }

  OpenedImage& image_;
  UnitDecoder decoder_;
  std::size_t region_;
  std::span<std::byte> memory_;
  const RestoreOptions& options_;
  Target target_;
};

/// A region into memory by way of a reader of whatever kind, piece by piece.
class ReadRestore {
 public:
  ReadRestore(Reader& reader, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options)
      : reader_(reader), pages_(dynamic_cast<PageReader*>(&reader)), region_(region), memory_(memory), options_(options) {}

  Result<void> run() {
    return for_each_piece(ceil_div(memory_.size(), kPiece), options_, [this](std::uint64_t index) -> Result<void> {
      const auto piece = memory_.subspan(index * kPiece, std::min(kPiece, memory_.size() - index * kPiece));
      const ReadTask task{.zeroed = options_.target_is_zero};
      SNAP_TRY(pages_ != nullptr ? pages_->read_into(region_, index * kPiece, piece, task) : reader_.read(region_, index * kPiece, piece));
      if (options_.progress != nullptr) *options_.progress += piece.size();
      return {};
    });
  }

 private:
  static constexpr std::size_t kPiece = 2u << 20;
  Reader& reader_;
  PageReader* pages_;
  std::size_t region_;
  std::span<std::byte> memory_;
  const RestoreOptions& options_;
};

/// Where a region goes in a file.
class FileTarget {
 public:
  FileTarget(int fd, std::uint64_t file_offset, std::uint64_t size, bool is_zero) : fd_(fd), file_offset_(file_offset), size_(size), is_zero_(is_zero) {}

  int fd() const { return fd_; }
  std::uint64_t place(std::uint64_t offset) const { return file_offset_ + offset; }

  Result<void> extend() const {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) return io_error("cannot tell the size of the target");
    const std::uint64_t end = file_offset_ + size_;
    if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) >= end) return {};
    if (::ftruncate(fd_, static_cast<off_t>(end)) != 0) return io_error("cannot extend the target", end);
    return {};
  }

  // Runs of pages that are not zero, or all of it.
  Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes) const {
    bytes = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), size_ - offset)));
    std::size_t start = 0;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t page = std::min<std::size_t>(kPageBytes, bytes.size() - at);
      const bool hole = is_zero_ && is_zero(bytes.subspan(at, page));
      if (hole && at > start) SNAP_TRY(write_at(fd_, bytes.subspan(start, at - start), place(offset) + start));
      at += page;
      if (hole) start = at;
    }
    if (start < bytes.size()) SNAP_TRY(write_at(fd_, bytes.subspan(start), place(offset) + start));
    return {};
  }

 private:
  int fd_;
  std::uint64_t file_offset_;
  std::uint64_t size_;
  bool is_zero_;
};

/// A region of a reader of whatever kind into a file, piece by piece.
Result<void> restore_by_reading(Reader& reader, std::size_t region, const FileTarget& target, const RestoreOptions& options) {
  constexpr std::size_t kPiece = 2u << 20;
  const std::uint64_t size = reader.regions()[region].size;
  SNAP_TRY(target.extend());
  return for_each_piece(ceil_div(size, kPiece), options, [&](std::uint64_t index) -> Result<void> {
    Bytes piece(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, size - index * kPiece)));
    SNAP_TRY(reader.read(region, index * kPiece, piece));
    SNAP_TRY(target.put(index * kPiece, piece));
    if (options.progress != nullptr) *options.progress += piece.size();
    return {};
  });
}

/// A region into a file: decoded in memory, then written where it is not zero.
class FileRestore {
 public:
  FileRestore(OpenedImage& image, std::size_t region, const FileTarget& target, const RestoreOptions& options)
      : image_(image), decoder_(image.image(), region, image.link(), false), region_(region), target_(target), options_(options) {
    const int flags = ::fcntl(target.fd(), F_GETFL);
    readable_ = flags >= 0 && (flags & O_ACCMODE) == O_RDWR;
  }

  Result<void> run() {
    SNAP_TRY(target_.extend());
    UnitRunner runner(decoder_, region_, options_, [this](std::span<const UnitCopy> copies) { return apply(copies); });
    return runner.run([this] {
      auto mine = std::make_shared<WorkMemory>();
      mine->out.resize(decoder_.unit_bytes());
      return [this, mine](const Unit& unit, UnitDone& done) { return restore(unit, done, *mine); };
    });
  }

 private:
  std::uint64_t size() const { return image_.image().size(region_); }

  Result<void> restore(const Unit& unit, UnitDone& done, WorkMemory& mine) {
    const auto out = std::span(mine.out).first(unit.bytes);
    // The filling of a short last page is looked at: nothing of another unit may stand there.
    if (unit.bytes > size() - unit.offset) std::fill(out.begin(), out.end(), std::byte{0});
    if (image_.link() != nullptr) return restore_child(unit, out);
    SNAP_TRY(decoder_.decode(unit, out, Target::kAnything, mine.scratch, mine.span, done));
    if (!options_.target_is_zero) decoder_.clear_absent(unit, out, done);
    SNAP_TRY(verify_filling(out, unit.offset, size(), 0));
    const std::uint64_t block_bytes = image_.image().header().block_bytes();
    for (std::uint64_t i = 0; i < unit.block_count; ++i) {
      if (!done.present[i] && options_.target_is_zero) continue;
      SNAP_TRY(target_.put(unit.offset + i * block_bytes, out.subspan(i * block_bytes, std::min<std::size_t>(block_bytes, out.size() - i * block_bytes))));
    }
    return {};
  }

  Result<void> restore_child(const Unit& unit, std::span<std::byte> out) {
    const auto there = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size() - unit.offset)));
    SNAP_TRY(dynamic_cast<PageReader&>(image_).read_into(region_, unit.offset, there, {}));
    return target_.put(unit.offset, there);
  }

  Result<void> apply(std::span<const UnitCopy> copies) {
    std::byte page[kPageBytes];
    Allowance allowance(image_.image());
    for (const UnitCopy& copy : copies) {
      const std::uint64_t from = copy.source.page.page * kPageBytes;
      if (readable_ && copy.source.page.region == region_ && from + kPageBytes <= size()) {
        PosixSource target(target_.fd());
        SNAP_TRY(read_exact(target, target_.place(from), page, "the target became shorter"));
      } else {
        SNAP_TRY(image_.read_source(copy.source, page, allowance.of(copy)));
      }
      const std::uint64_t offset = copy.page * kPageBytes;
      SNAP_TRY(verify_filling(page, offset, size(), 0));
      SNAP_TRY(write_at(target_.fd(), std::span(page).first(static_cast<std::size_t>(std::min<std::uint64_t>(kPageBytes, size() - offset))), target_.place(offset)));
    }
    return {};
  }

  OpenedImage& image_;
  UnitDecoder decoder_;
  std::size_t region_;
  const FileTarget& target_;
  const RestoreOptions& options_;
  bool readable_ = false;
};

/// Threads read ahead and encode; the caller's thread writes in order.
class SinkRestore {
 public:
  /// `encode` may be null: the bytes go out as they are.
  SinkRestore(Reader& reader, std::size_t region, std::span<const ChangedRange> ranges, const PieceEncoder& encode, ByteSink& sink,
              const RestoreOptions& options, bool seek_zeros)
      : reader_(reader), pages_(dynamic_cast<PageReader*>(&reader)), region_(region), ranges_(ranges), encode_(encode), seek_zeros_(seek_zeros), sink_(sink),
        options_(options), slots_(std::max(1u, 2 * options.threads)) {}

  Result<void> run() {
    if (options_.threads == 0) return run_inline();
    ThreadGroup threads;
    const Stop stop{*this};  // before the threads are joined, also where the sink throws
    SNAP_TRY(threads.start(options_.threads, [this](unsigned) { produce(); }));
    return consume();
  }

 private:
  static constexpr std::size_t kPiece = 1u << 20;
  static constexpr std::size_t kStep = 256u << 10;  // decoded and encoded at a time, so that it stays near the processor
  /// What one thread takes at a time: a part of a stretch, or several short ones.
  struct Piece {
    std::size_t range = 0;
    std::uint64_t offset = 0;  // in that stretch
    std::uint64_t length = 0;
  };
  struct Slot {
    Bytes bytes;
    Piece piece;
    bool full = false;
    Error error;
  };
  struct Stop {
    SinkRestore& restore;
    ~Stop() {
      {
        const std::lock_guard lock(restore.mutex_);
        restore.stop_ = true;
      }
      restore.changed_.notify_all();
    }
  };

  /// The next piece, by whoever holds the mutex.
  Piece take_piece() {
    Piece piece{range_, offset_, 0};
    while (range_ < ranges_.size() && piece.length < kPiece) {
      const std::uint64_t now = std::min(kPiece - piece.length, ranges_[range_].length - offset_);
      piece.length += now;
      offset_ += now;
      if (offset_ < ranges_[range_].length) break;
      ++range_;
      offset_ = 0;
    }
    ++next_;
    return piece;
  }
  bool all_taken() const { return range_ == ranges_.size(); }

  Result<void> cancelled() const {
    if (options_.cancel != nullptr && *options_.cancel) return fail(Code::kCancelled, "cancelled");
    return {};
  }

  Result<void> read(const Piece& piece, Bytes& bytes, Bytes& step) {
    try {
      bytes.clear();
      bytes.reserve(kPiece + kPiece / 64);  // what most encoders need: it would grow by copying
      std::uint64_t left = piece.length;
      std::uint64_t skipped = piece.offset;
      for (std::size_t range = piece.range; left != 0; ++range) {
        const std::uint64_t begin = ranges_[range].offset + std::exchange(skipped, 0);
        const std::uint64_t length = std::min(left, ranges_[range].offset + ranges_[range].length - begin);
        SNAP_TRY(encode_ ? encode(begin, begin + length, bytes, step) : read_plain(begin, length, bytes));
        left -= length;
      }
      return {};
    } catch (const std::bad_alloc&) {
      return fail(Code::kNoMemory, "out of memory");
    }
  }

  Result<void> read_plain(std::uint64_t offset, std::uint64_t length, Bytes& bytes) {
    const std::size_t at = bytes.size();
    bytes.resize(at + static_cast<std::size_t>(length));
    return reader_.read(region_, offset, std::span(bytes).subspan(at));
  }

  Result<void> encode(std::uint64_t offset, std::uint64_t end, Bytes& out, Bytes& step) {
    while (offset < end) {
      Extent extent{.offset = offset, .length = end - offset, .data = true};
      if (seek_zeros_) {
        SNAP_TRY_ASSIGN(found, extent_until(offset, end));
        extent = found;
      }
      RegionPiece piece{.offset = offset, .length = std::min(extent.length, end - offset), .bytes = {}};
      if (extent.data) {
        piece.length = std::min<std::uint64_t>(piece.length, kStep);
        step.resize(static_cast<std::size_t>(piece.length));
        SNAP_TRY(reader_.read(region_, offset, step));
        piece.bytes = step;
      }
      SNAP_TRY(encode_(piece, out));
      offset += piece.length;
    }
    return {};
  }

  /// An extent is not followed to its end where nobody asks for that.
  Result<Extent> extent_until(std::uint64_t offset, std::uint64_t end) {
    return pages_ != nullptr ? pages_->extent_until(region_, offset, end) : reader_.extent(region_, offset, end);
  }

  Result<void> put(const Piece& piece, const Bytes& bytes) {
    SNAP_TRY(cancelled());
    SNAP_TRY(sink_.write(bytes));
    if (options_.progress != nullptr) *options_.progress += piece.length;
    return {};
  }

  Result<void> run_inline() {
    Bytes bytes;
    Bytes step;
    while (!all_taken()) {
      const Piece piece = take_piece();
      SNAP_TRY(read(piece, bytes, step));
      SNAP_TRY(put(piece, bytes));
    }
    return {};
  }

  void produce() {
    Bytes step;
    while (true) {
      Slot* slot = nullptr;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || all_taken() || next_ < written_ + slots_.size(); });
        if (stop_ || all_taken()) return;
        slot = &slots_[next_ % slots_.size()];
        slot->piece = take_piece();
      }
      const auto result = read(slot->piece, slot->bytes, step);
      {
        const std::lock_guard lock(mutex_);
        slot->error = result.error();
        slot->full = true;
      }
      changed_.notify_all();
    }
  }

  Result<void> consume() {
    while (true) {
      Slot& slot = slots_[written_ % slots_.size()];
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return slot.full || (all_taken() && written_ == next_); });
        if (!slot.full) return {};
      }
      if (slot.error.code != Code::kOk) return slot.error;
      SNAP_TRY(put(slot.piece, slot.bytes));
      {
        const std::lock_guard lock(mutex_);
        slot.full = false;
        ++written_;
      }
      changed_.notify_all();
    }
  }

  Reader& reader_;
  PageReader* pages_;
  std::size_t region_;
  std::span<const ChangedRange> ranges_;
  const PieceEncoder& encode_;
  bool seek_zeros_;  ///< stretches of zeros are worth being looked for in the index
  ByteSink& sink_;
  const RestoreOptions& options_;
  std::size_t range_ = 0;     // of the next piece,
  std::uint64_t offset_ = 0;  // and where in it that begins
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::uint64_t next_ = 0;
  std::uint64_t written_ = 0;
  bool stop_ = false;
};

ChangedRange whole(const RegionInfo& info) { return {.offset = 0, .length = info.size}; }

/// A child: first what its parent has there, then the changes over it.
Result<void> restore_child(Reader& child, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options) {
  Reader& parent = *child.parent();
  const RegionInfo& info = child.regions()[region];
  const auto counterpart = parent.find(info.kind, info.name);
  const std::uint64_t there = counterpart ? std::min<std::uint64_t>(parent.regions()[*counterpart].size, memory.size()) : 0;
  const auto covered = memory.first(static_cast<std::size_t>(there));
  if (counterpart && there == parent.regions()[*counterpart].size && parent.held(*counterpart).empty()) {
    if (const auto done = restore_to_memory(parent, *counterpart, covered, options); !done) return of_parent(done.error());
  } else if (counterpart) {
    if (const auto done = ReadRestore(parent, *counterpart, covered, options).run(); !done) return of_parent(done.error());
  }
  if (!options.target_is_zero) std::fill(memory.begin() + static_cast<std::ptrdiff_t>(there), memory.end(), std::byte{0});
  RestoreOptions changes = options;
  changes.progress = nullptr;
  SNAP_TRY(apply_changes(child, region, memory, changes));
  if (options.progress != nullptr) *options.progress += memory.size() - there;
  return {};
}

}  // namespace

Result<void> restore_to_memory(Reader& reader, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  if (memory.size() != reader.regions()[region].size) return invalid("memory of another size than the region", memory.size());
  auto* image = dynamic_cast<OpenedImage*>(&reader);
  if (image == nullptr) return ReadRestore(reader, region, memory, options).run();
  if (image->link() != nullptr) return restore_child(reader, region, memory, options);
  return MemoryRestore(*image, region, memory, options).run();
}

Result<void> apply_changes(Reader& child, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options) {
  SNAP_TRY_ASSIGN(image, opened(child, region));
  if (image->link() == nullptr) return invalid("changes of a snapshot that has no parent");
  if (memory.size() != image->image().size(region)) return invalid("memory of another size than the region", memory.size());
  return MemoryRestore(*image, region, memory, options).run();
}

Result<void> restore_to_file(Reader& reader, std::size_t region, int fd, std::uint64_t file_offset, const RestoreOptions& options) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  const FileTarget target(fd, file_offset, reader.regions()[region].size, options.target_is_zero);
  auto* image = dynamic_cast<OpenedImage*>(&reader);
  return image != nullptr ? FileRestore(*image, region, target, options).run() : restore_by_reading(reader, region, target, options);
}

Result<void> restore_to_sink(Reader& reader, std::size_t region, ByteSink& sink, const RestoreOptions& options) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  const ChangedRange all = whole(reader.regions()[region]);
  const PieceEncoder as_they_are;
  return SinkRestore(reader, region, {&all, 1}, as_they_are, sink, options, false).run();
}

Result<void> restore_encoded(Reader& reader, std::size_t region, const PieceEncoder& encode, ByteSink& sink, const RestoreOptions& options) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  if (!encode) return invalid("no encoder");
  const ChangedRange all = whole(reader.regions()[region]);
  return SinkRestore(reader, region, {&all, 1}, encode, sink, options, true).run();
}

Result<void> restore_encoded(Reader& reader, std::size_t region, std::span<const ChangedRange> ranges, const PieceEncoder& encode, ByteSink& sink,
                             const RestoreOptions& options) {
  if (region >= reader.regions().size()) return invalid("no such region", region);
  if (!encode) return invalid("no encoder");
  const std::uint64_t size = reader.regions()[region].size;
  for (const ChangedRange& range : ranges) {
    if (range.offset > size || range.length > size - range.offset) return invalid("a stretch past the end of its region", range.offset);
  }
  return SinkRestore(reader, region, ranges, encode, sink, options, false).run();
}

}  // namespace snap

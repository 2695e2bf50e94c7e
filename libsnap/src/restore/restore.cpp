// SPDX-License-Identifier: Apache-2.0
#include "snap/restore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>

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

/// Each thread's own memory.
struct WorkMemory {
  Scratch scratch;
  Bytes span;
  Bytes out;
};

/// A region into the caller's memory; the short last page, if any, by way of memory of our own.
class MemoryRestore {
 public:
  MemoryRestore(OpenedImage& image, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options)
      : image_(image), decoder_(image.image(), region, fresh(memory, options)), region_(region), memory_(memory), options_(options) {}

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
      SNAP_TRY(decoder_.decode(unit, target, options_.target_is_zero, mine.scratch, mine.span, done));
      if (!options_.target_is_zero) decoder_.clear_absent(unit, target, done);
    } else {
      mine.out.assign(unit.bytes, std::byte{0});
      SNAP_TRY(decoder_.decode(unit, mine.out, true, mine.scratch, mine.span, done));
      SNAP_TRY(verify_filling(mine.out, unit.offset, memory_.size(), 0));
      std::memcpy(target.data(), mine.out.data(), there);
    }
    return {};
  }

  Result<void> apply(std::span<const UnitCopy> copies) {
    for (const UnitCopy& copy : copies) {
      const std::size_t offset = static_cast<std::size_t>(copy.page) * kPageBytes;
      const std::size_t there = std::min<std::size_t>(kPageBytes, memory_.size() - offset);
      const std::uint64_t from = copy.source.page * kPageBytes;
      if (copy.source.region == region_ && from + kPageBytes <= memory_.size()) {
        SNAP_TRY(verify_filling(memory_.subspan(from, kPageBytes), offset, memory_.size(), 0));
        std::memcpy(memory_.data() + offset, memory_.data() + from, there);
        continue;
      }
      std::byte page[kPageBytes];
      SNAP_TRY(image_.read_raw_page(copy.source, page));
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
};

/// A region into a file: decoded in memory, then written where it is not zero.
class FileRestore {
 public:
  FileRestore(OpenedImage& image, std::size_t region, int fd, std::uint64_t file_offset, const RestoreOptions& options)
      : image_(image), decoder_(image.image(), region, false), region_(region), fd_(fd), file_offset_(file_offset), options_(options) {
    const int flags = ::fcntl(fd, F_GETFL);
    readable_ = flags >= 0 && (flags & O_ACCMODE) == O_RDWR;
  }

  Result<void> run() {
    SNAP_TRY(extend());
    UnitRunner runner(decoder_, region_, options_, [this](std::span<const UnitCopy> copies) { return apply(copies); });
    return runner.run([this] {
      auto mine = std::make_shared<WorkMemory>();
      mine->out.resize(decoder_.unit_bytes());
      return [this, mine](const Unit& unit, UnitDone& done) { return restore(unit, done, *mine); };
    });
  }

 private:
  std::uint64_t size() const { return image_.image().size(region_); }

  Result<void> extend() {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) return io_error("cannot tell the size of the target");
    const std::uint64_t end = file_offset_ + size();
    if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) >= end) return {};
    if (::ftruncate(fd_, static_cast<off_t>(end)) != 0) return io_error("cannot extend the target", end);
    return {};
  }

  Result<void> restore(const Unit& unit, UnitDone& done, WorkMemory& mine) {
    const auto out = std::span(mine.out).first(unit.bytes);
    // The filling of a short last page is looked at: nothing of another unit may stand there.
    if (unit.bytes > size() - unit.offset) std::fill(out.begin(), out.end(), std::byte{0});
    SNAP_TRY(decoder_.decode(unit, out, false, mine.scratch, mine.span, done));
    if (!options_.target_is_zero) decoder_.clear_absent(unit, out, done);
    SNAP_TRY(verify_filling(out, unit.offset, size(), 0));
    const std::uint64_t block_bytes = image_.image().header().block_bytes();
    for (std::uint64_t i = 0; i < unit.block_count; ++i) {
      if (!done.present[i] && options_.target_is_zero) continue;
      SNAP_TRY(put(unit.offset + i * block_bytes, out.subspan(i * block_bytes, std::min<std::size_t>(block_bytes, out.size() - i * block_bytes))));
    }
    return {};
  }

  // Runs of pages that are not zero, or all of it.
  Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes) {
    bytes = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), size() - offset)));
    std::size_t start = 0;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t page = std::min<std::size_t>(kPageBytes, bytes.size() - at);
      const bool hole = options_.target_is_zero && is_zero(bytes.subspan(at, page));
      if (hole && at > start) SNAP_TRY(write_at(fd_, bytes.subspan(start, at - start), file_offset_ + offset + start));
      at += page;
      if (hole) start = at;
    }
    if (start < bytes.size()) SNAP_TRY(write_at(fd_, bytes.subspan(start), file_offset_ + offset + start));
    return {};
  }

  Result<void> apply(std::span<const UnitCopy> copies) {
    std::byte page[kPageBytes];
    for (const UnitCopy& copy : copies) {
      const std::uint64_t from = copy.source.page * kPageBytes;
      if (readable_ && copy.source.region == region_ && from + kPageBytes <= size()) {
        PosixSource target(fd_);
        SNAP_TRY(read_exact(target, file_offset_ + from, page, "the target became shorter"));
      } else {
        SNAP_TRY(image_.read_raw_page(copy.source, page));
      }
      const std::uint64_t offset = copy.page * kPageBytes;
      SNAP_TRY(verify_filling(page, offset, size(), 0));
      SNAP_TRY(write_at(fd_, std::span(page).first(static_cast<std::size_t>(std::min<std::uint64_t>(kPageBytes, size() - offset))), file_offset_ + offset));
    }
    return {};
  }

  OpenedImage& image_;
  UnitDecoder decoder_;
  std::size_t region_;
  int fd_;
  std::uint64_t file_offset_;
  const RestoreOptions& options_;
  bool readable_ = false;
};

/// Threads read ahead; the caller's thread writes in order.
class SinkRestore {
 public:
  SinkRestore(Reader& reader, std::size_t region, ByteSink& sink, const RestoreOptions& options)
      : reader_(reader), region_(region), sink_(sink), options_(options), size_(reader.regions()[region].size),
        pieces_(ceil_div(size_, kPiece)), slots_(std::max(1u, 2 * options.threads)) {}

  Result<void> run() {
    if (options_.threads == 0) return run_inline();
    ThreadGroup threads;
    const Stop stop{*this};  // before the threads are joined, also where the sink throws
    SNAP_TRY(threads.start(options_.threads, [this](unsigned) { produce(); }));
    return consume();
  }

 private:
  static constexpr std::size_t kPiece = 1u << 20;
  struct Slot {
    Bytes bytes;
    std::uint64_t index = 0;
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

  std::size_t piece_bytes(std::uint64_t index) const { return static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, size_ - index * kPiece)); }

  Result<void> cancelled() const {
    if (options_.cancel != nullptr && *options_.cancel) return fail(Code::kCancelled, "cancelled");
    return {};
  }

  Result<void> read(std::uint64_t index, Bytes& bytes) {
    try {
      bytes.resize(piece_bytes(index));
      return reader_.read(region_, index * kPiece, bytes);
    } catch (const std::bad_alloc&) {
      return fail(Code::kNoMemory, "out of memory");
    }
  }

  Result<void> put(const Bytes& bytes) {
    SNAP_TRY(cancelled());
    SNAP_TRY(sink_.write(bytes));
    if (options_.progress != nullptr) *options_.progress += bytes.size();
    return {};
  }

  Result<void> run_inline() {
    Bytes bytes;
    for (std::uint64_t index = 0; index < pieces_; ++index) {
      SNAP_TRY(read(index, bytes));
      SNAP_TRY(put(bytes));
    }
    return {};
  }

  void produce() {
    while (true) {
      Slot* slot = nullptr;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || next_ == pieces_ || next_ < written_ + slots_.size(); });
        if (stop_ || next_ == pieces_) return;
        slot = &slots_[next_ % slots_.size()];
        slot->index = next_++;
      }
      const auto result = read(slot->index, slot->bytes);
      {
        const std::lock_guard lock(mutex_);
        slot->error = result.error();
        slot->full = true;
      }
      changed_.notify_all();
    }
  }

  Result<void> consume() {
    for (; written_ < pieces_;) {
      Slot& slot = slots_[written_ % slots_.size()];
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return slot.full; });
      }
      if (slot.error.code != Code::kOk) return slot.error;
      SNAP_TRY(put(slot.bytes));
      {
        const std::lock_guard lock(mutex_);
        slot.full = false;
        ++written_;
      }
      changed_.notify_all();
    }
    return {};
  }

  Reader& reader_;
  std::size_t region_;
  ByteSink& sink_;
  const RestoreOptions& options_;
  std::uint64_t size_;
  std::uint64_t pieces_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::uint64_t next_ = 0;
  std::uint64_t written_ = 0;
  bool stop_ = false;
};

}  // namespace

Result<void> restore_to_memory(Reader& reader, std::size_t region, std::span<std::byte> memory, const RestoreOptions& options) {
  SNAP_TRY_ASSIGN(image, opened(reader, region));
  if (memory.size() != image->image().size(region)) return invalid("memory of another size than the region", memory.size());
  return MemoryRestore(*image, region, memory, options).run();
}

Result<void> restore_to_file(Reader& reader, std::size_t region, int fd, std::uint64_t file_offset, const RestoreOptions& options) {
  SNAP_TRY_ASSIGN(image, opened(reader, region));
  return FileRestore(*image, region, fd, file_offset, options).run();
}

Result<void> restore_to_sink(Reader& reader, std::size_t region, ByteSink& sink, const RestoreOptions& options) {
  SNAP_TRY(opened(reader, region));
  return SinkRestore(reader, region, sink, options).run();
}

}  // namespace snap

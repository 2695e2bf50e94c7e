// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fail.h"
#include "io/file.h"

namespace snap {

namespace {

// The kernel moves at most this much in one call.
constexpr std::size_t kMaxTransfer = 1u << 30;

class PosixStream final : public ByteSource {
 public:
  explicit PosixStream(int fd) : fd_(fd) { enlarge_pipe(fd); }

  Result<std::size_t> read(std::span<std::byte> out) override {
    while (true) {
      const ssize_t got = ::read(fd_, out.data(), std::min(out.size(), kMaxTransfer));
      if (got >= 0) {
        offset_ += static_cast<std::uint64_t>(got);
        return static_cast<std::size_t>(got);
      }
      if (errno != EINTR) return io_error("cannot read", offset_);
    }
  }

 private:
  int fd_;
  std::uint64_t offset_ = 0;
};

class RangeStream final : public ByteSource {
 public:
  RangeStream(RandomSource& source, std::uint64_t offset, std::uint64_t length)
      : source_(source), offset_(offset), left_(length) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), left_));
    SNAP_TRY_ASSIGN(got, source_.read_at(offset_, out.first(want)));
    offset_ += got;
    left_ -= got;
    return got;
  }

 private:
  RandomSource& source_;
  std::uint64_t offset_;
  std::uint64_t left_;
};

class PosixSink final : public ByteSink {
 public:
  explicit PosixSink(int fd) : fd_(fd) { enlarge_pipe(fd); }

  Result<void> write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t put = ::write(fd_, bytes.data(), std::min(bytes.size(), kMaxTransfer));
      if (put < 0) {
        if (errno == EINTR) continue;
        return io_error("cannot write", offset_);
      }
      // A regular file never takes nothing without an error; a device that does would make us loop.
      if (put == 0) return io_error("cannot write: nothing was taken", offset_, EIO);
      offset_ += static_cast<std::uint64_t>(put);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
    return {};
  }

 private:
  int fd_;
  std::uint64_t offset_ = 0;
};

}  // namespace

void enlarge_pipe(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) return;
  // As far as an unprivileged process may; a smaller pipe only costs speed.
  for (int bytes = 1 << 20; bytes > 65536 && ::fcntl(fd, F_SETPIPE_SZ, bytes) < 0; bytes /= 2) {
  }
}

Result<std::uint64_t> PosixSource::size() {
  const off_t end = ::lseek(fd_, 0, SEEK_END);  // fstat says 0 for a block device
  if (end < 0) return io_error("cannot tell the size");
  return static_cast<std::uint64_t>(end);
}

Result<std::size_t> PosixSource::read_at(std::uint64_t offset, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(fd_, out.data() + done, std::min(out.size() - done, kMaxTransfer), static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return io_error("cannot read", offset + done);
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::uint64_t> PosixSource::next_data(std::uint64_t offset) {
  const off_t data = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (data >= 0) return static_cast<std::uint64_t>(data);
  if (errno == ENXIO) return size();
  return offset;  // a file system without holes
}

std::unique_ptr<RandomSource> file_source(int fd) { return std::make_unique<PosixSource>(fd); }
std::unique_ptr<ByteSource> stream_source(int fd) { return std::make_unique<PosixStream>(fd); }
std::unique_ptr<ByteSource> range_stream(RandomSource& source, std::uint64_t offset, std::uint64_t length) {
  return std::make_unique<RangeStream>(source, offset, length);
}
std::unique_ptr<ByteSink> stream_sink(int fd) { return std::make_unique<PosixSink>(fd); }

Result<void> write_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), std::min(bytes.size(), kMaxTransfer), static_cast<off_t>(offset));
    if (put < 0) {
      if (errno == EINTR) continue;
      return io_error("cannot write", offset);
    }
    if (put == 0) return io_error("cannot write: nothing was taken", offset, EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Result<std::size_t> read_full(ByteSource& source, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    SNAP_TRY_ASSIGN(got, source.read(out.subspan(done)));
    if (got == 0) break;
    done += got;
  }
  return done;
}

Result<void> read_exact(RandomSource& source, std::uint64_t offset, std::span<std::byte> out, const char* what) {
  SNAP_TRY_ASSIGN(got, source.read_at(offset, out));
  if (got != out.size()) return truncated(offset + got, what);
  return {};
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "guard.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "pipe.h"
#include "signals.h"

namespace snap::tool {
namespace {

constexpr Error kStop{.code = Code::kCancelled, .what = "interrupted"};
constexpr int kPollMilliseconds = 200;

}  // namespace

Result<std::size_t> GuardedSource::read_at(std::uint64_t offset, std::span<std::byte> out) {
  if (cancelled()) return kStop;
  return note(inner_->read_at(offset, out));
}

Result<void> GuardedSource::read_batch(std::span<ReadRequest> batch) {
  if (cancelled()) return kStop;
  return note(inner_->read_batch(batch));
}

Result<std::size_t> GuardedStream::read_inner(std::span<std::byte> out) {
  // poll() and not the read waits: a signal between a test of the flag and the read would go unseen until data comes.
  pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
  const auto start = std::chrono::steady_clock::now();
  while (!cancelled() && ::poll(&wait, 1, kPollMilliseconds) <= 0) {
    if (!limit_ || std::chrono::steady_clock::now() - start < *limit_) continue;
    failed_ = true;
    return Error{.code = Code::kIo, .sys_errno = ETIMEDOUT, .what = "nothing comes any more"};
  }
  if (cancelled()) return kStop;
  Result<std::size_t> got = inner_->read(out);
  if (!got) failed_ = true;
  return got;
}

Result<std::size_t> GuardedStream::read(std::span<std::byte> out) {
  if (peeked_.empty() || out.empty()) {
    Result<std::size_t> got = read_inner(out);
    if (got) count(*got);
    return got;
  }
  const std::size_t ready = std::min(out.size(), peeked_.size());
  std::copy_n(peeked_.begin(), ready, out.begin());
  peeked_.erase(peeked_.begin(), peeked_.begin() + static_cast<std::ptrdiff_t>(ready));
  count(ready);
  return ready;
}

void GuardedStream::count(std::size_t bytes) {
  taken_ += bytes;
  if (counter_ != nullptr) *counter_ += bytes;
}

Result<std::span<const std::byte>> GuardedStream::peek(std::size_t bytes) {
  while (peeked_.size() < bytes) {
    const std::size_t have = peeked_.size();
    peeked_.resize(bytes);
    const Result<std::size_t> got = read_inner(std::span(peeked_).subspan(have));
    peeked_.resize(have + (got ? *got : 0));
    if (!got) return got.error();
    if (*got == 0) break;
  }
  return std::span<const std::byte>(peeked_);
}

GuardedSink::GuardedSink(int fd) : fd_(fd), is_pipe_(is_pipe(fd)), inner_(stream_sink(fd)) {}

// Whoever reads may have stopped. O_NONBLOCK is no way out: others have the same open pipe.
Result<void> GuardedSink::write_pipe(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (cancelled()) return kStop;
    const iovec piece{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = std::min<std::size_t>(bytes.size(), 1u << 30)};
    ssize_t put = ::pwritev2(fd_, &piece, 1, -1, RWF_NOWAIT);
    if (put < 0 && errno == EOPNOTSUPP) put = ::write(fd_, piece.iov_base, piece.iov_len);  // a kernel before 6.5
    if (put < 0 && errno == EAGAIN) {
      pollfd wait{.fd = fd_, .events = POLLOUT, .revents = 0};
      (void)::poll(&wait, 1, kPollMilliseconds);
    } else if (put < 0 && errno != EINTR) {
      return Error{.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(errno), .file_offset = taken_, .what = "cannot write"};
    }
    if (put <= 0) continue;
    taken_ += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<void> GuardedSink::write(std::span<const std::byte> bytes) {
  if (is_pipe_) return write_pipe(bytes);
  if (cancelled()) return kStop;
  Result<void> done = inner_->write(bytes);
  if (done) taken_ += bytes.size();
  return done;
}

}  // namespace snap::tool

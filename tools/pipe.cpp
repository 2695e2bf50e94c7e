// SPDX-License-Identifier: Apache-2.0
#include "pipe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "signals.h"

namespace snap::tool {
namespace {

constexpr int kPipeBytes = 1 << 20;
constexpr int kPollMilliseconds = 200;
constexpr int kMostPolls = 300 * 1000 / kPollMilliseconds;

Error io_error(int number, const char* what) {
  return {.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(number), .what = what};
}

}  // namespace

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_errno("pipe", "cannot make one");
  (void)::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);
  return {Fd(ends[0]), Fd(ends[1])};
}

bool is_pipe(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

void let_reader_go_first() {
  constexpr int kNicer = 5;  // a third of the reader's share, where there is not enough for both
  (void)::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + kNicer);  // of one thread, on Linux
}

PipeSink::PipeSink(Fd pipe, const std::atomic<bool>* stop) : pipe_(std::move(pipe)), stop_(stop) {
  // Of this end alone; the reader's is another open file.
  (void)::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
}

Result<void> PipeSink::wait() const {
  for (int polls = 0; polls < kMostPolls; ++polls) {
    if (cancelled()) return Error{.code = Code::kCancelled, .what = "interrupted"};
    if (stop_ != nullptr && *stop_) return Error{.code = Code::kCancelled, .what = "nobody takes the stream"};
    pollfd pipe{.fd = pipe_.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&pipe, 1, kPollMilliseconds) > 0) return {};
  }
  return io_error(ETIMEDOUT, "nothing is taken");
}

Result<void> PipeSink::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    Result<void> ready = wait();
    const ssize_t done = ready ? ::write(pipe_.get(), bytes.data(), bytes.size()) : 0;
    if (ready && done < 0 && errno != EINTR && errno != EAGAIN) ready = io_error(errno, "cannot write");
    if (!ready) {
      failed_ = ready.error().code == Code::kIo;
      return ready;
    }
    if (done <= 0) continue;
    taken_ += static_cast<std::uint64_t>(done);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

}  // namespace snap::tool

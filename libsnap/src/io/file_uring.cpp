// SPDX-License-Identifier: Apache-2.0
#include <liburing.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fail.h"
#include "io/file.h"

namespace snap {

namespace {

constexpr unsigned kQueueDepth = 64;
constexpr std::size_t kMaxRead = 1u << 30;

/// Rings are taken from a pool by whoever has a batch, so threads do not wait for each other's reads.
class UringSource final : public PosixSource {
 public:
  explicit UringSource(int fd) : PosixSource(fd) {}
  ~UringSource() override = default;

  Result<void> read_batch(std::span<ReadRequest> batch) override {
    if (batch.size() < 2) return PosixSource::read_batch(batch);
    auto ring = take();
    if (ring == nullptr) return PosixSource::read_batch(batch);
    auto result = submit_all(*ring, batch);
    // A ring that failed may still have reads in flight: it is torn down, which waits for them.
    if (result) give_back(std::move(ring));
    return result;
  }

 private:
  struct Ring {
    io_uring ring{};
    bool good = false;
    Ring() { good = io_uring_queue_init(kQueueDepth, &ring, 0) == 0; }
    ~Ring() {
      if (good) io_uring_queue_exit(&ring);
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
  };

  std::unique_ptr<Ring> take() {
    {
      const std::lock_guard lock(mutex_);
      if (refused_) return nullptr;
      if (!free_.empty()) {
        auto ring = std::move(free_.back());
        free_.pop_back();
        return ring;
      }
    }
    auto ring = std::make_unique<Ring>();
    if (ring->good) return ring;
    const std::lock_guard lock(mutex_);
    refused_ = true;
    return nullptr;
  }

  void give_back(std::unique_ptr<Ring> ring) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(ring));
  }

  Result<void> submit_all(Ring& ring, std::span<ReadRequest> batch) {
    for (std::size_t at = 0; at < batch.size(); at += kQueueDepth) {
      SNAP_TRY(submit(ring, batch.subspan(at, std::min<std::size_t>(kQueueDepth, batch.size() - at))));
    }
    return {};
  }

  Result<void> submit(Ring& ring, std::span<ReadRequest> batch) {
    for (ReadRequest& request : batch) {
      io_uring_sqe* entry = io_uring_get_sqe(&ring.ring);
      io_uring_prep_read(entry, fd_, request.out.data(), static_cast<unsigned>(std::min(request.out.size(), kMaxRead)), request.offset);
      io_uring_sqe_set_data(entry, &request);
    }
    int submitted = 0;
    while (submitted < static_cast<int>(batch.size())) {
      const int now = io_uring_submit(&ring.ring);
      if (now == -EINTR || now == -EAGAIN) continue;
      if (now < 0) {
        SNAP_TRY(collect(ring, static_cast<std::size_t>(submitted)));
        return io_error("cannot submit reads", batch[0].offset, -now);
      }
      submitted += now;
    }
    return collect(ring, batch.size());
  }

  // Waits for every read even after a failure: the kernel must not write into buffers the caller has taken back.
  Result<void> collect(Ring& ring, std::size_t count) {
    Error first;
    for (std::size_t i = 0; i < count; ++i) {
      io_uring_cqe* completion = nullptr;
      int waited = 0;
      while ((waited = io_uring_wait_cqe(&ring.ring, &completion)) == -EINTR) {
      }
      if (waited < 0) return io_error("cannot wait for reads", 0, -waited);
      auto& request = *static_cast<ReadRequest*>(io_uring_cqe_get_data(completion));
      const int got = completion->res;
      io_uring_cqe_seen(&ring.ring, completion);
      if (auto finished = finish(request, got); !finished && first.code == Code::kOk) first = finished.error();
    }
    if (first.code != Code::kOk) return first;
    return {};
  }

  // What a completion left open (a short read, an interrupted one) is read the plain way.
  Result<void> finish(ReadRequest& request, int got) {
    if (got < 0 && got != -EINTR && got != -EAGAIN) return io_error("cannot read", request.offset, -got);
    request.done = got > 0 ? static_cast<std::size_t>(got) : 0;
    if (request.done == request.out.size()) return {};
    SNAP_TRY_ASSIGN(more, read_at(request.offset + request.done, request.out.subspan(request.done)));
    request.done += more;
    return {};
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Ring>> free_;
  bool refused_ = false;
};

}  // namespace

std::unique_ptr<RandomSource> uring_source(int fd) { return std::make_unique<UringSource>(fd); }

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "ahead.h"

#include <new>

namespace snap::tool {

class Ahead::Queue final : public ByteSink {
 public:
  explicit Queue(Ahead& ahead) : ahead_(ahead) {}
  Result<void> write(std::span<const std::byte> bytes) override { return ahead_.put(bytes); }

 private:
  Ahead& ahead_;
};

Ahead::Ahead(std::function<Result<void>(ByteSink&)> make)
    : thread_([this, make = std::move(make)] {
        Queue queue(*this);
        Result<void> made;
        try {
          made = make(queue);
        } catch (const std::bad_alloc&) {
          made = Error{.code = Code::kNoMemory, .what = "out of memory"};
        }
        const std::lock_guard lock(mutex_);
        made_ = made;
        ended_ = true;
        changed_.notify_all();
      }) {}

Ahead::~Ahead() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<void> Ahead::put(std::span<const std::byte> bytes) {
  std::vector<std::byte> piece(bytes.begin(), bytes.end());
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stop_ || bytes_ < kMostBytes; });
  if (stop_) return Error{.code = Code::kCancelled, .what = "nobody takes the stream"};
  bytes_ += piece.size();
  pieces_.push_back(std::move(piece));
  changed_.notify_all();
  return {};
}

Result<void> Ahead::pass_to(ByteSink& sink) {
  while (true) {
    std::vector<std::byte> piece;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ended_ || !pieces_.empty(); });
      if (pieces_.empty()) return {};
      piece = std::move(pieces_.front());
      pieces_.pop_front();
      bytes_ -= piece.size();
    }
    changed_.notify_all();
    if (Result<void> written = sink.write(piece); !written) return written;
  }
}

}  // namespace snap::tool

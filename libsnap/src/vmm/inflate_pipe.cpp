// SPDX-License-Identifier: Apache-2.0
#include "vmm/inflate_pipe.h"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/fail.h"
#include "vmm/inflater.h"

namespace snap {
namespace {

constexpr std::size_t kInputBytes = 256 * 1024;
constexpr std::size_t kOutputBytes = 256 * 1024;  // what is inflated stays in a core's cache until it is used

/// kCorrupt has no place yet: it is somewhere in what was read last.
Error with_offset(Error error, std::uint64_t offset) {
  error.file_offset = offset;
  return error;
}

class InlinePipe final : public InflatePipe {
 public:
  explicit InlinePipe(CblockReader& input) : input_(input), in_(kInputBytes), out_(kOutputBytes) {}

  Result<std::span<std::byte>> next() override {
    std::size_t done = 0;
    while (done < out_.size() && !inflater_.finished()) {
      if (inflater_.wants_input()) {
        SNAP_TRY_ASSIGN(count, input_.fill(in_));
        if (count == 0) return input_.ending();
        inflater_.give(std::span(in_).first(count));
      }
      auto written = inflater_.run(std::span(out_).subspan(done));
      if (!written) return with_offset(written.error(), input_.position());
      done += *written;
    }
    return std::span(out_).first(done);
  }
  std::uint64_t consumed() const override { return inflater_.consumed(); }

 private:
  CblockReader& input_;
  Inflater inflater_;
  Bytes in_;
  Bytes out_;
};

/// Two rings of buffers. The caller's thread fills the input ring and empties the output ring, the other thread the reverse.
/// Who finds nothing to do is woken for several buffers at once: sleeping and waking for each would cost more than it holds.
class ThreadedPipe final : public InflatePipe {
 public:
  explicit ThreadedPipe(CblockReader& input) : input_(input) {
    for (Slot& slot : inputs_) slot.bytes.resize(kInputBytes);
    for (Slot& slot : outputs_) slot.bytes.resize(kOutputBytes);
  }
  ~ThreadedPipe() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    to_thread_.notify_one();
    if (thread_.joinable()) thread_.join();
  }
  void start() {
    thread_ = std::thread([this] { work(); });
  }

  Result<std::span<std::byte>> next() override;
  std::uint64_t consumed() const override { return inflater_.consumed(); }

 private:
  static constexpr std::size_t kInputs = 8;
  static constexpr std::size_t kOutputs = 16;
  static constexpr std::size_t kWakeOutputs = 4;
  static_assert(kInputs + 1 < CblockReader::kMarks);
  struct Slot {
    Bytes bytes;
    std::size_t used = 0;
  };

  std::size_t free_outputs() const { return kOutputs - static_cast<std::size_t>(outputs_filled_ - outputs_emptied_); }
  Result<void> read_ahead(std::unique_lock<std::mutex>& lock);
  void work();
  bool take_input(std::unique_lock<std::mutex>& lock);
  bool inflate_into(Slot& slot);

  CblockReader& input_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable to_thread_;
  std::condition_variable to_caller_;
  Slot inputs_[kInputs];
  Slot outputs_[kOutputs];
  // All counts only grow; a ring holds what lies between two of them.
  std::uint64_t inputs_filled_ = 0;
  std::uint64_t inputs_emptied_ = 0;
  std::uint64_t outputs_filled_ = 0;
  std::uint64_t outputs_emptied_ = 0;
  bool input_ended_ = false;
  bool input_wanted_ = false;  // the thread waits for it
  bool holding_output_ = false;
  bool stop_ = false;
  bool done_ = false;  // the thread will fill no further output
  Error error_;        // set before done_
  bool input_lacking_ = false;
  Inflater inflater_;  // the thread's until done_
  bool input_held_ = false;
};

Result<void> ThreadedPipe::read_ahead(std::unique_lock<std::mutex>& lock) {
  while (!input_ended_ && !done_ && inputs_filled_ - inputs_emptied_ < kInputs) {
    Slot& slot = inputs_[inputs_filled_ % kInputs];
    lock.unlock();
    auto count = input_.fill(slot.bytes);
    lock.lock();
    if (!count) return count.error();
    slot.used = *count;
    if (*count == 0) {
      input_ended_ = true;
    } else {
      ++inputs_filled_;
    }
    input_wanted_ = false;
    to_thread_.notify_one();
  }
  return {};
}

Result<std::span<std::byte>> ThreadedPipe::next() {
  std::unique_lock lock(mutex_);
  if (holding_output_) {
    holding_output_ = false;
    ++outputs_emptied_;
    if (free_outputs() == kWakeOutputs) to_thread_.notify_one();
  }
  while (true) {
    SNAP_TRY(read_ahead(lock));
    if (outputs_filled_ != outputs_emptied_) {
      holding_output_ = true;
      Slot& slot = outputs_[outputs_emptied_ % kOutputs];
      return std::span(slot.bytes).first(slot.used);
    }
    if (done_) {
      if (input_lacking_) return input_.ending();
      if (error_.code != Code::kOk) return with_offset(error_, input_.position());
      return std::span<std::byte>();
    }
    to_caller_.wait(lock, [this] { return outputs_filled_ - outputs_emptied_ >= kWakeOutputs || done_ || input_wanted_; });
  }
}

/// False where there is none and will be none, or the pipe is to stop.
bool ThreadedPipe::take_input(std::unique_lock<std::mutex>& lock) {
  if (input_held_) {
    ++inputs_emptied_;
    input_held_ = false;
  }
  input_wanted_ = inputs_filled_ == inputs_emptied_ && !input_ended_;
  if (input_wanted_) to_caller_.notify_one();
  to_thread_.wait(lock, [this] { return stop_ || inputs_filled_ != inputs_emptied_ || input_ended_; });
  input_wanted_ = false;
  if (stop_ || inputs_filled_ == inputs_emptied_) return false;
  input_held_ = true;
  return true;
}

/// False where the stream ended or cannot go on; what was inflated before counts.
bool ThreadedPipe::inflate_into(Slot& slot) {
  slot.used = 0;
  while (slot.used < slot.bytes.size()) {
    if (inflater_.finished()) return false;
    if (inflater_.wants_input()) {
      std::unique_lock lock(mutex_);
      if (!take_input(lock)) {
        input_lacking_ = true;
        return false;
      }
      const Slot& in = inputs_[inputs_emptied_ % kInputs];
      inflater_.give(std::span(in.bytes).first(in.used));
    }
    const auto written = inflater_.run(std::span(slot.bytes).subspan(slot.used));
    if (!written) {
      error_ = written.error();
      return false;
    }
    slot.used += *written;
  }
  return true;
}

void ThreadedPipe::work() {
  while (true) {
    std::unique_lock lock(mutex_);
    if (free_outputs() == 0) to_thread_.wait(lock, [this] { return stop_ || free_outputs() >= kWakeOutputs; });
    if (stop_) return;
    Slot& slot = outputs_[outputs_filled_ % kOutputs];
    lock.unlock();
    const bool more = inflate_into(slot);
    lock.lock();
    if (slot.used != 0) ++outputs_filled_;
    done_ = !more;
    if (done_ || outputs_filled_ - outputs_emptied_ == kWakeOutputs) to_caller_.notify_one();
    if (done_) return;
  }
}

}  // namespace

std::unique_ptr<InflatePipe> InflatePipe::create(CblockReader& input, unsigned threads) {
  if (threads != 0) {
    auto pipe = std::make_unique<ThreadedPipe>(input);
    try {
      pipe->start();
      return pipe;
    } catch (const std::system_error&) {
      // No thread to be had: slower, not worse.
    }
  }
  return std::make_unique<InlinePipe>(input);
}

}  // namespace snap

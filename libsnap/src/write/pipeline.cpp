// SPDX-License-Identifier: Apache-2.0
#include "write/pipeline.h"

#include <algorithm>
#include <new>

#include "base/fail.h"

namespace snap {

Pipeline::Pipeline(const Header& header, Codec codec, int level, unsigned threads, std::optional<DedupTable>& dedup, const Delta* delta,
                   Commit commit)
    : header_(header), codec_(codec), level_(level), thread_count_(threads), dedup_(dedup), delta_(delta), commit_(std::move(commit)) {}

Pipeline::~Pipeline() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (error_.code == Code::kOk) error_ = fail(Code::kCancelled, "the writer was dropped");
  }
  queued_.notify_all();
  threads_.join();
}

Result<void> Pipeline::start() {
  // One to fill, one finished and waiting for its turn, and for each thread one at work and one ahead.
  const std::size_t count = thread_count_ == 0 ? 1 : 2 * std::size_t{thread_count_} + 2;
  for (std::size_t i = 0; i < count; ++i) {
    jobs_.push_back(std::make_unique<Job>(header_, codec_, delta_));
    free_.push_back(jobs_.back().get());
  }
  finished_.resize(count);
  passed_.resize(count);
  for (unsigned i = 0; i < std::max(1u, thread_count_); ++i) {
    SNAP_TRY_ASSIGN(compressor, make_compressor(codec_, level_));
    compressors_.push_back(std::move(compressor));
  }
  return threads_.start(thread_count_, [this](unsigned i) { work(*compressors_[i]); });
}

Result<Job*> Pipeline::acquire() {
  std::unique_lock lock(mutex_);
  if (free_.empty()) returned_.wait(lock, [&] { return several_free() || error_.code != Code::kOk; });
  if (error_.code != Code::kOk) return error_;
  Job* job = free_.back();
  free_.pop_back();
  return job;
}

Result<void> Pipeline::submit(Job* job) {
  {
    const std::lock_guard lock(mutex_);
    job->sequence = submitted_;
    if (thread_count_ != 0) queue_.push_back(job);
    ++submitted_;
    if (thread_count_ != 0) {
      queued_.notify_one();
      if (error_.code != Code::kOk) return error_;
      return {};
    }
  }
  process(*job, *compressors_[0]);
  if (error_.code != Code::kOk) return error_;
  return {};
}

Result<void> Pipeline::drain() {
  std::unique_lock lock(mutex_);
  returned_.wait(lock, [&] { return committed_ == submitted_; });
  if (error_.code != Code::kOk) return error_;
  return {};
}

void Pipeline::work(Compressor& compressor) {
  while (true) {
    Job* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      queued_.wait(lock, [&] { return !queue_.empty() || stop_; });
      if (queue_.empty()) return;
      job = queue_.front();
      queue_.pop_front();
    }
    process(*job, compressor);
  }
}

// A job that fails, or comes after a failure, still takes its turn, or those behind it would wait for ever.
void Pipeline::process(Job& job, Compressor& compressor) {
  job.wait_for_feed();
  stage([&] { return job.fetch(); });
  job.pass_feed();
  stage([&] { return job.prepare(); });
  take_turn(job);
  stage([&] { return job.compress(compressor); });
  finish(job);
}

template <typename Stage>
void Pipeline::stage(Stage work) {
  {
    const std::lock_guard lock(mutex_);
    if (error_.code != Code::kOk) return;
  }
  try {
    if (auto result = work(); !result) note(result.error());
  } catch (const std::bad_alloc&) {
    note(fail(Code::kNoMemory, "out of memory"));
  }
}

// A job without records waits for nobody; the turn passes over it when it comes to it.
void Pipeline::take_turn(Job& job) {
  std::unique_lock lock(mutex_);
  if (dedup_ && job.has_records()) {
    turned_.wait(lock, [&] { return turn_ == job.sequence; });
    lock.unlock();
    stage([&]() -> Result<void> {
      job.find_copies(*dedup_, records_);
      return {};
    });
    lock.lock();
  }
  passed_[job.sequence % passed_.size()] = true;
  if (turn_ != job.sequence) return;
  for (; passed_[turn_ % passed_.size()]; ++turn_) passed_[turn_ % passed_.size()] = false;
  turned_.notify_all();
}

// Whoever finishes the job that is next hands over it and all behind it that are ready.
void Pipeline::finish(Job& job) {
  std::unique_lock lock(mutex_);
  finished_[job.sequence % finished_.size()] = &job;
  if (committing_) return;
  committing_ = true;
  while (Job* next = finished_[committed_ % finished_.size()]) {
    finished_[committed_ % finished_.size()] = nullptr;
    const bool sound = error_.code == Code::kOk;
    lock.unlock();
    Result<void> result;
    try {
      if (sound) result = commit_(*next);
    } catch (const std::bad_alloc&) {
      result = fail(Code::kNoMemory, "out of memory");
    }
    lock.lock();
    if (!result && error_.code == Code::kOk) error_ = result.error();
    free_.push_back(next);
    ++committed_;
    if (several_free() || error_.code != Code::kOk) returned_.notify_one();
  }
  committing_ = false;
}

void Pipeline::note(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (error_.code == Code::kOk) error_ = error;
}

}  // namespace snap

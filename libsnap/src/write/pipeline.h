// SPDX-License-Identifier: Apache-2.0
// Threads that take jobs through their stages and hand them over in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "base/threads.h"
#include "write/job.h"

namespace snap {

/// Jobs are taken in submission order, prepared and compressed on any thread, and pass find_copies and `commit` in order.
/// Without threads submit() does it all. After an error jobs are dropped and every call answers it.
class Pipeline {
 public:
  using Commit = std::function<Result<void>(Job&)>;

  Pipeline(const Header& header, Codec codec, int level, unsigned threads, std::optional<DedupTable>& dedup, const Delta* delta, Commit commit);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Makes the compressors and starts the threads.
  Result<void> start();
  /// An empty job; waits until one is free.
  Result<Job*> acquire();
  Result<void> submit(Job* job);
  /// Until all jobs submitted are committed.
  Result<void> drain();

 private:
  void work(Compressor& compressor);
  void process(Job& job, Compressor& compressor);
  template <typename Stage>
  void stage(Stage work);
  void take_turn(Job& job);
  void finish(Job& job);
  void note(const Error& error);
  /// Who waits for a free job is woken for two: a wake-up for each would cost more than the job of zeros it is for.
  bool several_free() const { return free_.size() >= 2 || committed_ == submitted_; }

  const Header& header_;
  Codec codec_;
  int level_;
  unsigned thread_count_;
  std::optional<DedupTable>& dedup_;
  const Delta* delta_;
  Commit commit_;
  std::uint64_t records_ = 0;  // BLOCK records so far; belongs to whose turn it is

  std::mutex mutex_;
  std::condition_variable queued_;    // queue_, stop_: for the threads
  std::condition_variable turned_;    // turn_: for the threads
  std::condition_variable returned_;  // free_, committed_, error_: for the caller
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<Job*> free_;
  std::deque<Job*> queue_;
  std::vector<Job*> finished_;  // by sequence modulo its size
  std::vector<bool> passed_;    // jobs from turn_ on that need no turn any more, likewise
  std::uint64_t submitted_ = 0;
  std::uint64_t turn_ = 0;
  std::uint64_t committed_ = 0;
  bool committing_ = false;
  bool stop_ = false;
  Error error_;

  std::vector<std::unique_ptr<Compressor>> compressors_;
  ThreadGroup threads_;
};

}  // namespace snap

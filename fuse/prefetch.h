// SPDX-License-Identifier: Apache-2.0
// Puts memory decoded into the kernel's page cache before somebody asks for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "tree.h"

struct fuse_session;

namespace snap::view {

/// Any thread may call any method.
class Prefetcher {
 public:
  Prefetcher(fuse_session* session, unsigned threads) : session_(session), threads_(threads) {}
  /// Waits for what it began; the kernel must no longer hold it up.
  ~Prefetcher();

  /// The ranges, in their order, as far as the file shows them. Once for each file: what comes again is not done. Files take turns. Waits
  /// for nothing; a thread of its own asks for the ranges.
  void start(std::uint64_t inode, std::shared_ptr<Tree> tree, File& file, std::function<std::vector<TouchedRange>()> ranges);
  /// What is left of the files of a snapshot of which nothing is open is not done; they may start again.
  void drop_closed(const Tree& tree);
  /// Until what was started is done, or stopped.
  void wait();
  /// What is under way ends soon.
  void stop();

 private:
  struct Work {
    std::uint64_t inode = 0;
    std::shared_ptr<Tree> tree;
    File* file = nullptr;
    std::atomic<bool> over{false};

    std::mutex mutex;  // of what follows; taken with no other
    std::function<std::vector<TouchedRange>()> ask;  // for the ranges, once
    std::vector<TouchedRange> ranges;
    std::size_t range = 0;   // the next, and where in it
    std::uint64_t done = 0;
    std::uint64_t left = 0;  // bytes that may still be pushed
  };
  struct Piece {  // of a file
    std::uint64_t at = 0;
    std::size_t length = 0;
  };
  void run();
  void push_one(Work& work, Answer& answer);
  static std::optional<Piece> next_piece(Work& work);
  bool store(std::uint64_t inode, std::uint64_t offset, const Answer& answer) const;

  fuse_session* session_;
  unsigned threads_;
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::condition_variable more_, done_;
  unsigned busy_ = 0;  // workers with a file in hand
  std::set<std::uint64_t> begun_;
  std::deque<std::shared_ptr<Work>> queue_;
  std::vector<std::thread> workers_;  // from the first start() on
};

}  // namespace snap::view

// SPDX-License-Identifier: Apache-2.0
// What the kernel is told to forget. It may wait for answers of ours before it does: so it is told by a thread that gives none.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

struct fuse_session;

namespace snap::view {

/// Any thread may call any method.
class Housekeeper {
 public:
  /// `tidy` is called now and then.
  Housekeeper(fuse_session* session, std::function<void()> tidy);
  /// The kernel must no longer hold it up.
  ~Housekeeper();

  /// Pages of a file are to be read anew.
  void invalidate(std::uint64_t inode, std::int64_t offset, std::size_t bytes);
  /// Calls `tidy` soon.
  void hurry();

 private:
  void run();

  fuse_session* session_;
  std::function<void()> tidy_;
  std::mutex mutex_;
  std::condition_variable more_;
  std::map<std::uint64_t, std::pair<std::int64_t, std::int64_t>> pages_;  // of an inode: from, to
  bool hurry_ = false;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace snap::view

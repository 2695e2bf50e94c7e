// SPDX-License-Identifier: Apache-2.0
// The view as a file system: answers the kernel.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "source.h"

namespace snap::view {

/// An extended attribute of the mounted directory: the number of the process that serves it.
inline constexpr const char* kServerAttribute = "user.vmsnap.server";

struct ServerOptions {
  unsigned threads = 4;                   ///< that answer; 1 … 64
  std::size_t cache_bytes = 64u << 20;    ///< hard limit on what is kept decoded, of all snapshots together
  /// Of the kernel, where it lets us. By default 1 MiB, or, where what is touched is recorded, its own 128 KiB.
  std::optional<std::size_t> read_ahead_bytes{};
  bool read_only = false;                 ///< nothing may be opened for writing
  bool allow_other = false;               ///< other users than the one who mounts, as far as the files' modes let them
  bool record = false;                    ///< note the order in which memory is touched
  bool prefetch = true;                   ///< have a working set decoded ahead
  /// To be used in place of the snapshot's own; of the one that is mounted.
  std::optional<std::vector<TouchedRange>> working_set{};
  std::string name;                       ///< of what is mounted, for the table of mounts
  /// What an operator should know: once each, however often it happens. From any thread.
  std::function<void(const std::string&)> log;
};

/// One mount. Made and used by one thread, unless a method says otherwise.
class Server {
 public:
  virtual ~Server() = default;
  /// Answers until nobody uses the mount any more, and it is gone. False where it ended otherwise. Calls `ready` when the mount is, and the
  /// working set of its main memory has been decoded ahead.
  virtual bool serve(const std::function<void()>& ready) = 0;
  /// Takes the mount out of sight: who uses it goes on, nobody comes new, and serve() ends with the last of them. From any thread.
  virtual void detach() = 0;
  /// The order in which memory was touched so far. From any thread.
  virtual std::vector<TouchedRange> recording() const = 0;

  /// Mounts one snapshot, or a shelf of them; null where that failed, which is told with log().
  static std::unique_ptr<Server> mount(std::shared_ptr<Source> source, const std::string& directory, ServerOptions options);
  static std::unique_ptr<Server> mount(std::shared_ptr<Shelf> shelf, const std::string& directory, ServerOptions options);
};

/// Takes away what is mounted there: as umount(8) does, by umount2 or fusermount3. `lazy`: also where it is in use. 0, or an errno; -1:
/// fusermount3 failed, and has said why.
int unmount(const std::string& directory, bool lazy);

}  // namespace snap::view

// SPDX-License-Identifier: Apache-2.0
// The decoded memory of bases, once on each host for all who clone it: sealed memory files, each kept by a process that does nothing
// else, and found by a registration in a directory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "open.h"
#include "progress.h"
#include "snap/reader.h"

namespace snap::tool {

/// All methods end the command where they fail.
class BaseStore {
 public:
  /// Empty: "vmsnap" in $XDG_RUNTIME_DIR, or in /run for root, else /tmp/vmsnap-UID. Made where it is not there, for its owner alone.
  explicit BaseStore(const std::string& directory);

  /// A base's memory, in use for as long as any copy of the descriptor is open, in whatever process.
  struct Memory {
    Fd fd;
    std::string path;  ///< that any process of this user can open while the base is kept
    bool made = false;
  };
  /// The memory of a region of `reader`: as it is kept, or decoded now. Of many at once one decodes, and the others wait.
  Memory open(Reader& reader, std::size_t region, const std::string& file, unsigned threads, Tally& tally);

  struct Kept {
    std::string name;    ///< of its registration
    std::string digest;  ///< of the snapshot
    std::string region;
    std::string path;
    std::uint64_t bytes = 0;
    int keeper = 0;  ///< its process
    bool used = false;
  };
  std::vector<Kept> list();
  /// False where it is in use.
  bool drop(const Kept& kept);

 private:
  std::string path_of(const std::string& name) const;
  std::string directory_;
};

}  // namespace snap::tool

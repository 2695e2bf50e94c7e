// SPDX-License-Identifier: Apache-2.0
// A guest whose RAM is a private mapping of its base's: only what differs is sent.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base_store.h"
#include "chain.h"
#include "incoming.h"
#include "snap/restore.h"

namespace snap::tool {

struct CloneArgs {
  bool clone = false;
  std::string base;       ///< a snapshot, its folder in a view, or a directory of parents; empty: the guest's own parent, or itself where it has none
  std::string directory;  ///< of kept bases; empty: the default
};

/// All methods end the command where they fail.
class Clone {
 public:
  Clone(Input& input, const CloneArgs& args, ParentPlaces places, unsigned threads, Tally& tally);

  Reader& reader() { return opened_->reader(); }
  /// `write_stream` and `fail` use this object.
  RestorePlan plan(Tally& tally);
  /// That a QEMU which somebody else started has the base's memory.
  void check(Qmp& qmp);
  /// The options of QEMU that make its RAM, with that file.
  static std::vector<std::string> ram_arguments(const RegionInfo& ram, const std::string& path);

 private:
  Reader& stand_in(Reader& parent, unsigned distance, const std::string& name);
  void take_base(Reader& base, const std::string& name);
  const RegionInfo& ram() { return reader().regions()[region_]; }

  unsigned threads_;
  Tally& tally_;
  std::optional<Digest> wanted_;  ///< the base's; nothing: that of the nearest parent
  std::string view_;              ///< the base's folder in a mounted view; empty: it is kept by the store
  std::optional<BaseStore> store_;
  BaseStore::Memory memory_;
  Reader* base_ = nullptr;  ///< that the memory is of
  std::size_t base_region_ = 0;
  std::unique_ptr<HeldSnapshot> held_;
  std::unique_ptr<OpenSnapshot> opened_;
  std::size_t region_ = 0;
};

/// QEMU's command line without what makes its RAM, the object `ram`: a clone has that from elsewhere.
std::vector<std::string> without_memory_of(std::span<const std::string> command, std::string_view ram);

/// The main memory of a base.
std::size_t base_region(const Reader& reader, const std::string& name);

}  // namespace snap::tool

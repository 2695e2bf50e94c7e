// SPDX-License-Identifier: Apache-2.0
// Finding all damage of a snapshot, and making its lost index again.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "snap/io.h"
#include "snap/model.h"
#include "snap/reader.h"
#include "snap/result.h"

#pragma GCC visibility push(default)
namespace snap {

enum class DamageKind {
  kHeader,
  kRecord,    ///< a record head or body is damaged or not legal
  kBlock,     ///< a block's data is lost
  kIndex,     ///< a node, CLOSE, SEAL, catalog, the head of a working set: can be made again
  kTrailer,   ///< missing or damaged: can be made again
  kGap,       ///< bytes that belong to no record, or records missing
  kContent,   ///< all checks fit, but the content does not give the digest recorded
  kParent,    ///< not this file's: the parent cannot give what is needed of it; error.ancestor says which file is damaged
};

struct Damage {
  DamageKind kind = DamageKind::kRecord;
  Error error;  ///< code, offset in the file, cause
};

/// Bytes of a region that cannot be given back.
struct LostRange {
  std::string region;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct CheckReport {
  std::vector<Damage> damages;   ///< in file order; at most kMaxListed, damage_count counts all
  std::uint64_t damage_count = 0;
  std::vector<LostRange> lost;   ///< merged, in region order
  std::uint64_t lost_bytes = 0;
  bool complete = false;         ///< SEAL was found: nothing is missing at the end
  bool repairable = false;       ///< nothing is lost; only what can be made again is damaged
  std::uint64_t file_bytes = 0;
  std::uint64_t blocks_checked = 0;
  std::optional<ParentRef> parent;  ///< what the file says of its parent
  /// The content was compared with the digests recorded. Not so for a difference whose parent was not given, nor where damage
  /// keeps from it: all else was checked.
  bool content_compared = true;
  Digest digest;                 ///< of the content found; meaningful where nothing is lost
  std::vector<RegionInfo> regions;  ///< as found
  bool clean() const { return damage_count == 0; }
  static constexpr std::size_t kMaxListed = 10000;
};

struct CheckOptions {
  /// The parent of a snapshot that is a difference. kParentMismatch where it is another one.
  Reader* parent = nullptr;
  unsigned threads = 1;
  std::atomic<std::uint64_t>* progress = nullptr;  ///< bytes of the file dealt with
  const std::atomic<bool>* cancel = nullptr;
};

/// Reads everything, goes on past every fault. An Error only where the file cannot be read at all (I/O) or is not a snapshot.
Result<CheckReport> check(RandomSource& source, const CheckOptions& options = {});

/// Writes to `sink` the file as its writer wrote it, made from what `source` still holds. kCorrupt or kTruncated where that is
/// not possible because content is lost. What was written is certain only when this returns without error.
Result<void> repair(RandomSource& source, ByteSink& sink, const CheckOptions& options = {});

}  // namespace snap
#pragma GCC visibility pop

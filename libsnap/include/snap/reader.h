// SPDX-License-Identifier: Apache-2.0
// Reading a snapshot at rest, any byte at any time, from any thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "snap/io.h"
#include "snap/model.h"
#include "snap/result.h"

#pragma GCC visibility push(default)
namespace snap {

struct ReaderOptions {
  std::size_t cache_bytes = 64u << 20;  ///< hard limit on decoded blocks and index nodes kept; 0 keeps none
  /// For a snapshot that is a difference: the open parent, which must outlive the reader. Many children may share one.
  class Reader* parent = nullptr;
  /// A difference is opened without its parent: it tells of itself, and visit_changes() works; what needs content ends with
  /// kParentMismatch. Means nothing for a snapshot that stands alone.
  bool without_parent = false;
};

/// A read of a batch: bytes [offset, offset + out.size()) of a region.
struct RegionRead {
  std::size_t region = 0;
  std::uint64_t offset = 0;
  std::span<std::byte> out;
};

struct RegionStats {
  std::uint64_t block_records = 0;  ///< blocks that have a record; the others are zero, or the same as the parent's
};

/// A stretch of a region that is all zero (no record here or in a parent) or may have data.
struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool data = false;
};

/// All methods may be called from any thread. Bytes come back checked or not at all. Two calls that need one
/// block at once decode it once.
class Reader {
 public:
  /// Three reads, whatever the size of the snapshot. The source must outlive the reader. kParentMismatch where options.parent is
  /// not the parent that the snapshot names, or is missing, or is given for a snapshot that has none.
  static Result<std::unique_ptr<Reader>> open(RandomSource& source, const ReaderOptions& options = {});
  virtual ~Reader() = default;

  virtual std::span<const RegionInfo> regions() const = 0;
  virtual RegionStats region_stats(std::size_t region) const = 0;
  virtual Digest region_digest(std::size_t region) const = 0;
  virtual const Metadata& metadata() const = 0;
  virtual const Digest& digest() const = 0;
  virtual std::uint32_t block_bytes() const = 0;
  virtual std::uint64_t file_bytes() const = 0;
  /// What the snapshot says of its parent; nothing for one that stands alone.
  virtual const std::optional<ParentRef>& parent_ref() const;
  /// The parent it was opened with, or null.
  virtual Reader* parent() const { return nullptr; }
  /// The most parents that its chain can have, as its header says; 0 for one that stands alone.
  virtual unsigned depth() const { return 0; }
  std::optional<std::size_t> find(RegionKind kind, std::string_view name) const;

  /// Bytes [offset, offset + out.size()) of a region; all inside it, or kInvalidArgument. A block that `out` covers whole is
  /// decoded straight into it. After an error the content of `out` is undefined.
  virtual Result<void> read(std::size_t region, std::uint64_t offset, std::span<std::byte> out) = 0;
  /// Many reads in one submission to the source. The first error ends it.
  virtual Result<void> read_batch(std::span<const RegionRead> batch) = 0;

  /// The content digest of one block: equal digests, equal content; nothing is decoded. Absent blocks give the digest of zeros.
  virtual Result<Digest> block_digest(std::size_t region, std::uint64_t block) = 0;
  /// The content digest of the 2^height pages from number << height on, SPEC 11; height 0 … 40. What lies past the region's end
  /// counts as zero. Mostly known from the index; content is read where the index says nothing of so small a piece.
  virtual Result<Digest> range_digest(std::size_t region, unsigned height, std::uint64_t number);
  /// All of a region where it is held decoded (hold_in_memory), else nothing.
  virtual std::span<const std::byte> held(std::size_t region) const;
  /// The extent that begins at `offset`: where data and zeros change, at block granularity; what lies past `end` is not looked at.
  /// Nothing is decoded.
  virtual Result<Extent> extent(std::size_t region, std::uint64_t offset, std::uint64_t end = kUnknownSize) = 0;

  /// From here on at most so much is kept decoded, as ReaderOptions::cache_bytes says it at first; what is kept now goes where that is
  /// less. The parent has a limit of its own.
  virtual void limit_cache(std::size_t bytes);
};

/// A whole state; refused with kLimit when it is larger than `limit` bytes.
Result<std::vector<std::byte>> read_state(Reader& reader, std::string_view name, std::uint64_t limit = 1u << 30);

/// What a snapshot says of its parent, and how deep its chain is, without the parent.
struct ParentInfo {
  Digest digest;  ///< the snapshot's own
  std::optional<ParentRef> parent;
  unsigned depth = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t block_records = 0;  ///< of all regions
};
Result<ParentInfo> read_parent_info(RandomSource& source);

/// What the front of the file alone says of the parent: also where its end is damaged or missing. `depth`, where not null: how deep
/// the chain is, as the header says.
Result<std::optional<ParentRef>> read_parent_ref(RandomSource& source, unsigned* depth);

/// Whether the bytes look like a vmsnap file: at least 8 are needed.
bool looks_like_snapshot(std::span<const std::byte> first_bytes);

/// The name of an incompatible feature bit as the file's own table gives it; empty where it has none.
/// For the message after Code::kUnsupported.
std::string feature_name(RandomSource& source, unsigned bit);

}  // namespace snap
#pragma GCC visibility pop

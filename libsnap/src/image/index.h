// SPDX-License-Identifier: Apache-2.0
// NODE records, SPEC 8: the index as a tree of 256 children a node.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "format/limits.h"
#include "image/record.h"
#include "snap/model.h"

namespace snap {

struct IndexEntry {
  RecordRef record;
  Digest digest;  // of the pages that the child covers
  friend bool operator==(const IndexEntry&, const IndexEntry&) = default;
};

/// The level of the root over `blocks` blocks; 0 for up to 256.
unsigned root_level(std::uint64_t blocks);

/// A checked node: an entry for each child that has a record.
class IndexNode {
 public:
  /// The entry of child i (0 … 255); null where the child has no record.
  const IndexEntry* find(unsigned child) const;
  std::size_t memory_bytes() const { return sizeof *this + entries_.size() * sizeof(IndexEntry); }
  /// In any order, again or not; ascending is the fastest.
  void set(unsigned child, const IndexEntry& entry);
  bool empty() const { return entries_.empty(); }
  void clear() { *this = IndexNode(); }
  Bytes encode() const;
  /// The digest of all 256 children, each of 2^height pages; `absent(child)` answers that of one without a record. An unknown
  /// digest (Digest{}, which no content has) among them makes it unknown.
  Result<Digest> digest(unsigned height, const std::function<Result<Digest>(unsigned child)>& absent) const;
  /// The same where what has no record is zero.
  Digest digest(unsigned height) const;

 private:
  friend Result<IndexNode> parse_node(const Record&, std::span<const std::byte>);
  std::array<std::uint64_t, 4> present_{};
  std::array<std::uint8_t, 4> before_{};  // entries before each word
  std::vector<IndexEntry> entries_;
};

Result<IndexNode> parse_node(const Record& record, std::span<const std::byte> body);

/// Collects entries in ascending block order and says which nodes are to be written when. Holds one node a level.
class IndexBuilder {
 public:
  /// Writes one NODE record, answers its pointer. May amend the node before.
  using WriteNode = std::function<Result<RecordRef>(unsigned level, std::uint64_t number, IndexNode& node)>;

  /// The digest of 2^height pages without a record, those from page number << height on.
  using AbsentDigest = std::function<Result<Digest>(unsigned height, std::uint64_t number)>;

  /// Without `absent` they are zero.
  IndexBuilder(unsigned block_height, WriteNode write, AbsentDigest absent = nullptr)
      : block_height_(block_height), write_(std::move(write)), absent_(std::move(absent)) {}

  /// Writes the nodes that are complete before `block` gets its record.
  Result<void> advance_to(std::uint64_t block);
  void add(std::uint64_t block, const IndexEntry& entry);
  /// Writes the rest. The root's entry; nothing where the region has no block record.
  Result<std::optional<IndexEntry>> finish(std::uint64_t blocks);
  /// The lowest node that holds something: the next to be written.
  struct Due {
    unsigned level = 0;
    std::uint64_t number = 0;
    const IndexNode* node = nullptr;
  };
  std::optional<Due> due() const;
  /// Writes that node now.
  Result<void> flush_due();
  /// The block before which due() must be written: the first that it does not cover.
  std::uint64_t due_before() const;

  /// Height of the digest of the root's entry, in levels over a page.
  unsigned root_height(std::uint64_t blocks) const {
    return std::min(format::kDigestTreeHeight, block_height_ + format::kNodeLog2 * (root_level(blocks) + 1));
  }

 private:
  struct Level {
    std::uint64_t number = 0;
    IndexNode node;
  };
  Result<void> flush(unsigned level);
  void add_at(unsigned level, std::uint64_t child, const IndexEntry& entry);

  unsigned block_height_;
  WriteNode write_;
  AbsentDigest absent_;
  std::vector<Level> levels_;
};

}  // namespace snap

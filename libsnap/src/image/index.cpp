// SPDX-License-Identifier: Apache-2.0
#include "image/index.h"

#include <algorithm>
#include <bit>

#include "base/fail.h"
#include "codec/checksum.h"

namespace snap {

unsigned root_level(std::uint64_t blocks) {
  unsigned level = 0;
  for (std::uint64_t covered = format::kNodeChildren; covered < blocks; covered <<= format::kNodeLog2) ++level;
  return level;
}

const IndexEntry* IndexNode::find(unsigned child) const {
  const unsigned word = child / 64;
  const std::uint64_t bit = std::uint64_t{1} << (child % 64);
  if ((present_[word] & bit) == 0) return nullptr;
  return &entries_[before_[word] + static_cast<unsigned>(std::popcount(present_[word] & (bit - 1)))];
}

void IndexNode::set(unsigned child, const IndexEntry& entry) {
  const std::uint64_t bit = std::uint64_t{1} << (child % 64);
  std::uint64_t& word = present_[child / 64];
  const auto at = entries_.begin() + before_[child / 64] + std::popcount(word & (bit - 1));
  if ((word & bit) != 0) {
    *at = entry;
    return;
  }
  entries_.insert(at, entry);
  word |= bit;
  for (unsigned later = child / 64 + 1; later < 4; ++later) ++before_[later];
}

Bytes IndexNode::encode() const {
  Bytes bytes;
  bytes.reserve(wire::kNodeBitmapBytes + entries_.size() * sizeof(wire::NodeEntry));
  for (const std::uint64_t word : present_) append(bytes, bytes_of(wire::le64(word)));
  for (const IndexEntry& entry : entries_) {
    wire::NodeEntry to{};
    to.offset = entry.record.offset;
    to.record_bytes = entry.record.record_bytes;
    to.head_check = entry.record.head_check;
    std::memcpy(to.digest.bytes, entry.digest.bytes.data(), sizeof to.digest.bytes);
    append(bytes, bytes_of(to));
  }
  return bytes;
}

Result<Digest> IndexNode::digest(unsigned height, const std::function<Result<Digest>(unsigned child)>& absent) const {
  // The root over the largest regions has room for more pages than the digest's tree; there its last children cannot exist.
  const unsigned count = 1u << std::min(format::kNodeLog2, format::kDigestTreeHeight - height);
  std::array<Digest, format::kNodeChildren> children;
  for (unsigned child = 0; child < count; ++child) {
    const IndexEntry* entry = find(child);
    if (entry != nullptr) {
      children[child] = entry->digest;
    } else {
      SNAP_TRY_ASSIGN(digest, absent(child));
      children[child] = digest;
    }
    if (children[child] == Digest{}) return Digest{};
  }
  return tree_digest(std::span(children).first(count));
}

Digest IndexNode::digest(unsigned height) const {
  return *digest(height, [&](unsigned) -> Result<Digest> { return zero_digest(height); });
}

Result<IndexNode> parse_node(const Record& record, std::span<const std::byte> body) {
  IndexNode node;
  ByteReader reader(body);
  std::size_t count = 0;
  for (std::uint64_t& word : node.present_) {
    const auto bits = reader.take<wire::le64>();
    if (!bits) return corrupt(record.offset, "an index node is too short");
    word = *bits;
    count += static_cast<std::size_t>(std::popcount(word));
  }
  if (count == 0) return corrupt(record.offset, "an index node that points to nothing");
  if (reader.rest().size() != count * sizeof(wire::NodeEntry)) return corrupt(record.offset, "an index node of another length than its entries");
  for (unsigned word = 1; word < 4; ++word) {
    node.before_[word] = static_cast<std::uint8_t>(node.before_[word - 1] + std::popcount(node.present_[word - 1]));
  }
  node.entries_.reserve(count);
  std::uint64_t least = 0;
  while (const auto from = reader.take<wire::NodeEntry>()) {
    IndexEntry entry{{from->offset, from->record_bytes, from->head_check}, {}};
    std::memcpy(entry.digest.bytes.data(), from->digest.bytes, sizeof from->digest.bytes);
    // Children follow each other and stand before their node, so a walk down ends whatever the file says.
    if (entry.record.offset < least || entry.record.offset >= record.offset ||
        entry.record.record_bytes < sizeof(wire::RecordHead) || entry.record.record_bytes > record.offset - entry.record.offset) {
      return corrupt(record.offset, "an index entry points to where no child can be", entry.record.offset);
    }
    least = entry.record.offset + entry.record.record_bytes;
    node.entries_.push_back(entry);
  }
  return node;
}

void IndexBuilder::add_at(unsigned level, std::uint64_t child, const IndexEntry& entry) {
  if (levels_.size() <= level) levels_.resize(level + 1);
  levels_[level].number = child >> format::kNodeLog2;
  levels_[level].node.set(static_cast<unsigned>(child % format::kNodeChildren), entry);
}

Result<void> IndexBuilder::flush(unsigned level) {
  if (levels_.size() <= level || levels_[level].node.empty()) return {};
  Level& full = levels_[level];
  const std::uint64_t number = full.number;
  SNAP_TRY_ASSIGN(record, write_(level, number, full.node));
  const unsigned height = block_height_ + format::kNodeLog2 * level;
  SNAP_TRY_ASSIGN(digest, full.node.digest(height, [&](unsigned child) -> Result<Digest> {
    return absent_ ? absent_(height, number << format::kNodeLog2 | child) : zero_digest(height);
  }));
  const IndexEntry entry{record, digest};
  full.node.clear();
  add_at(level + 1, number, entry);
  return {};
}

Result<void> IndexBuilder::advance_to(std::uint64_t block) {
  std::uint64_t number = block >> format::kNodeLog2;
  for (unsigned level = 0; level < levels_.size(); ++level, number >>= format::kNodeLog2) {
    if (levels_[level].node.empty() || levels_[level].number == number) continue;
    SNAP_TRY(flush(level));
  }
  return {};
}

std::optional<IndexBuilder::Due> IndexBuilder::due() const {
  for (unsigned level = 0; level < levels_.size(); ++level) {
    if (!levels_[level].node.empty()) return Due{level, levels_[level].number, &levels_[level].node};
  }
  return std::nullopt;
}

Result<void> IndexBuilder::flush_due() {
  const auto next = due();
  return next ? flush(next->level) : Result<void>();
}

std::uint64_t IndexBuilder::due_before() const {
  const auto next = due();
  if (!next) return ~std::uint64_t{0};
  return (next->number + 1) << (format::kNodeLog2 * (next->level + 1));
}

void IndexBuilder::add(std::uint64_t block, const IndexEntry& entry) { add_at(0, block, entry); }

Result<std::optional<IndexEntry>> IndexBuilder::finish(std::uint64_t blocks) {
  const unsigned root = root_level(blocks);
  for (unsigned level = 0; level <= root; ++level) SNAP_TRY(flush(level));
  if (levels_.size() <= root + 1) return std::optional<IndexEntry>();
  const IndexEntry* entry = levels_[root + 1].node.find(0);
  return entry != nullptr ? std::optional(*entry) : std::nullopt;
}

}  // namespace snap

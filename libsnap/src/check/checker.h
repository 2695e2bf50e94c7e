// SPDX-License-Identifier: Apache-2.0
// Walks a snapshot from front to back, derives every record that follows from others, and compares. With a sink, what was
// damaged but could be derived is written as it was.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "check/block_check.h"
#include "check/scan.h"
#include "codec/checksum.h"
#include "image/catalog.h"
#include "image/index.h"
#include "snap/check.h"

namespace snap {

/// What is known of the region whose records are being read.
struct OpenRegion {
  std::uint64_t next_block = 0;    // the first that may come
  std::uint32_t last_pages = 0;    // of the last block seen
  std::uint64_t block_records = 0;
  std::uint64_t covered = 0;       // blocks before this one are in nodes that were written: none may follow
  bool unknown_digests = false;    // blocks were lost whose digests no node gave
  std::vector<std::pair<std::uint64_t, std::uint64_t>> uncertain;  // [first, end) blocks that may have stood in a gap
  std::optional<CopyWindow::Seen> last;
  Bytes last_page;                 // of the last block, where raw
  CopyRef last_source;             // and where a copy
};

/// Whether what was derived is what the record, whose own body is damaged, once held.
inline bool is_body_of(const Record& record, std::span<const std::byte> derived) {
  return derived.size() == record.body_bytes && check64(derived) == record.body_check;
}

/// What ends the check rather than being found by it.
inline bool ends_check(const Error& error) {
  return error.code == Code::kIo || error.code == Code::kNoMemory || error.code == Code::kCancelled;
}

class Checker {
 public:
  Checker(RandomSource& source, std::uint64_t size, const CheckOptions& options, ByteSink* repaired)
      : scanner_(source, size), source_(source), options_(options), repaired_(repaired), window_(0) {}

  /// An Error only for I/O, cancelling, no memory, and what is no snapshot; damage goes into the report.
  Result<CheckReport> run();

 private:
  // The walk.
  Result<void> read_header();
  Result<void> walk();
  Result<void> take(const Record& record);
  Result<void> body_of(const Record& record, Bytes& body, bool& sound);
  Result<void> take_gap(const Error& why);
  Result<void> skip_to(std::uint64_t next, const Error& why);
  Result<bool> take_derived_node();
  Result<bool> take_derived_close();
  Result<bool> take_derived_working_set();
  Result<bool> take_derived_seal();
  Result<bool> fits_before_next(const Record& derived);
  Result<void> resume_at(const Record& record);
  Result<void> finish();

  // One record each.
  Result<void> open_region(const Record& record);
  Result<void> queue_block(const Record& record);
  Result<void> flush_blocks();
  Result<void> account(CheckedBlock& block);
  Error resolve_copies(CheckedBlock& block, bool& incomplete);
  bool is_lost(PageRef block) const;
  Result<void> take_node(const Record& record);
  Result<void> add_lost_blocks(const Record& record);
  std::optional<IndexBuilder::Due> due_node() const;
  Result<void> flush_node(const IndexBuilder::Due& due, const Record& record, bool derived);
  Result<RecordRef> settle_node(unsigned level, std::uint64_t number, IndexNode& node);
  void merge(unsigned level, std::uint64_t number, IndexNode& node, const IndexNode& found);
  Result<void> close_region(const Record* record);
  Result<void> check_filling(std::uint64_t close_offset);
  Result<void> check_parents_filling(std::uint64_t last_page, std::size_t used, std::uint64_t close_offset);
  Result<void> take_parent(const Record& record);
  Result<void> take_meta(const Record& record);
  Result<void> take_working_set(const Record& record);
  Result<Digest> absent_digest(unsigned height, std::uint64_t number);
  Result<void> take_seal(const Record* record);
  Result<RegionClose> derive_close(std::uint64_t size);
  void start_region(const RegionInfo& info);

  // Output and report.
  Result<void> emit(std::span<const std::byte> bytes);
  Result<void> emit_record(const Record& record, std::span<const std::byte> body);
  Record derive(wire::RecordType type, std::uint16_t region, std::uint32_t aux, std::uint64_t number, std::span<const std::byte> body) const;
  void damage(DamageKind kind, const Error& error, bool lasting);
  void lose(std::uint64_t first_block, std::uint64_t block_count);
  void lose_pages(std::uint64_t first_page, std::uint64_t page_count);
  Result<void> advance(std::uint64_t offset);
  CatalogRegion& region() { return catalog_.regions.back(); }
  std::uint16_t region_number() const { return static_cast<std::uint16_t>(catalog_.regions.size() - 1); }
  std::uint64_t known_size() const;
  Result<void> read_known_catalog();

  Scanner scanner_;
  RandomSource& source_;
  const CheckOptions& options_;
  ByteSink* repaired_;
  CheckReport report_;
  std::map<std::pair<std::size_t, std::uint64_t>, std::uint64_t> lost_;  // region and first byte -> end
  bool lasting_damage_ = false;  // something that cannot be made again

  Header header_;
  std::optional<Catalog> known_;  // what the file's own catalog says, where it can be read
  Catalog catalog_;               // as derived
  std::set<std::pair<RegionKind, std::string>> names_;
  CopyWindow window_;
  std::optional<ParentLink> link_;
  std::vector<CheckedBlock> batch_;
  std::size_t batch_bytes_ = 0;
  std::optional<OpenRegion> open_;
  std::optional<IndexBuilder> index_;
  const Record* node_record_ = nullptr;  // the NODE record that is being settled; null: it is missing
  bool node_derived_ = false;            // its head is damaged, but what follows proves it
  bool chain_known_ = true;
  bool place_known_ = true;              // no gap since the last record that says in which region we are
  bool sealed_ = false;
  bool after_ancillary_ = false;
  bool after_working_set_ = false;
  std::uint64_t metadata_bytes_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t prior_ = 0;
  std::uint64_t records_ = 0;
};

}  // namespace snap

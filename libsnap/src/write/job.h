// SPDX-License-Identifier: Apache-2.0
// A job: neighbouring blocks of a region on their way from bytes to records. The unit of work of a writer's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "codec/codec.h"
#include "image/header.h"
#include "image/record.h"
#include "snap/io.h"
#include "write/dedup.h"
#include "write/delta.h"
#include "write/feed.h"

namespace snap {

/// Jobs are as large as this, or one block.
inline constexpr std::size_t kJobBytes = 512 * 1024;

/// Memory that is not cleared first.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) : bytes_(new std::byte[bytes]), size_(bytes) {}
  std::byte* data() { return bytes_.get(); }
  const std::byte* data() const { return bytes_.get(); }
  std::span<std::byte> span() { return {bytes_.get(), size_}; }
  std::size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_;
};

class Job {
 public:
  /// `delta`: null for a snapshot that stands alone.
  Job(const Header& header, Codec codec, const Delta* delta);

  /// A block on its way; those that are all zero, or the same as the parent's, get no record.
  struct Block {
    bool present = false;
    Record record;              // offset, prior and head_check come at the end
    std::size_t out_offset = 0;  // of the record in out()
    Digest digest;
  };

  std::size_t capacity() const { return data_.size(); }
  std::span<Block> blocks() { return blocks_; }
  /// The record's bytes, its head still to be encoded.
  std::span<std::byte> record_bytes(const Block& block) { return out_.span().subspan(block.out_offset, block.record.record_bytes()); }
  /// All records of the job, which follow each other.
  std::span<const std::byte> out() { return out_.span().first(out_bytes_); }

  /// The job is to hold bytes from `offset` of the region on: those appended or kept, or those of a source.
  void start(std::uint16_t region, std::uint64_t offset);
  std::size_t filled() const { return std::size_t{pages_} * kPageBytes + open_bytes_; }
  void append(std::span<const std::byte> bytes);
  void append_zeros(std::size_t count);
  /// Memory for the next `bytes` bytes, of which keep() takes over as many as have been put there.
  std::span<std::byte> room(std::size_t bytes) { return {end_ + open_bytes_, bytes}; }
  void keep(std::size_t bytes);
  /// Nothing is appended then; fetch() reads.
  void read_from(RandomSource& source, std::uint64_t offset, std::size_t bytes);
  void read_from(Feed& feed, std::uint64_t turn);

  // The stages, in this order. find_copies of all jobs runs in job order, as does fetch() between the two calls around it
  // where there is a feed; the others run in any.
  void wait_for_feed();
  Result<void> fetch();
  void pass_feed();
  Result<void> prepare();
  void find_copies(DedupTable& table, std::uint64_t& records);
  Result<void> compress(Compressor& compressor);

  /// Whether prepare() found a block that gets a record.
  bool has_records() const;

  std::uint64_t sequence = 0;

 private:
  static constexpr std::size_t kFetchBytes = 128 * 1024;

  Result<void> fetch_from_feed();
  void keep_page(const std::byte* from);
  void add_zero_page();
  void digest_pages();
  void digest_blocks();
  void find_present();
  Result<void> compare_with_parent();
  Result<bool> same_by_digest(std::size_t block);
  Result<void> read_parent(std::size_t block);
  void find_moved(std::size_t block);
  void choose_xors(std::size_t block);
  Result<void> compress_block(std::size_t index, Compressor& compressor);
  struct Payload {
    wire::CodecId codec = wire::kStore;
    std::size_t bytes = 0;
  };
  Result<Payload> compress_payload(std::size_t index, std::span<std::byte> pages, std::span<std::byte> out, Compressor& compressor);
  struct OverParent {
    std::span<const std::byte> payload;  // empty where it is no use
    std::vector<std::uint64_t> named;
    std::size_t bytes() const { return sizeof(wire::le16) + named.size() * sizeof(wire::Le40) + payload.size(); }
  };
  Result<OverParent> compress_over_parent(std::size_t index, std::span<const std::byte> pages, Compressor& compressor);
  Result<std::vector<std::uint64_t>> choose_named(std::size_t index, std::span<const std::byte> pages) const;
  Result<OverParent> compress_over_named(std::size_t index, std::span<const std::byte> pages, std::span<const std::byte> own, Compressor& compressor);
  Payload put_over_parent(std::size_t index, const OverParent& over, std::span<std::byte> out);
  void xor_payload(std::size_t index, std::span<std::byte> payload);
  std::uint32_t pages_in(std::size_t block) const;
  std::size_t first_page_of(std::size_t block) const { return block * header_.block_pages(); }
  std::uint64_t number_of(std::size_t block) const { return first_page_ / header_.block_pages() + block; }
  /// The parent's pages at the block's place, once read.
  const std::byte* parent_page(std::size_t page) const;

  const Header& header_;
  Codec codec_;
  const Delta* delta_;
  Buffer data_;
  Buffer out_;
  std::optional<Buffer> parent_;       // the parent's bytes at the job's place, where it does not hold them decoded
  std::optional<Buffer> alternatives_;  // payloads compressed over dictionaries, two
  Bytes dictionary_;
  std::span<const std::byte> held_;    // the parent's bytes where it does
  std::size_t out_bytes_ = 0;
  std::uint16_t region_ = 0;
  std::uint64_t first_page_ = 0;
  Feed* feed_ = nullptr;
  std::uint64_t feed_turn_ = 0;
  RandomSource* source_ = nullptr;
  std::uint64_t source_offset_ = 0;
  std::size_t source_bytes_ = 0;
  std::byte* end_ = nullptr;      // of the pages kept, which lie side by side in data_
  std::size_t open_bytes_ = 0;    // of a page begun, at end_
  std::uint32_t pages_ = 0;       // zero ones among them
  std::vector<wire::PageKind> kinds_;
  std::vector<Digest> digests_;
  std::vector<std::byte*> at_;    // where a page is kept; null: it was not kept, being zero or the same as the parent's
  std::vector<CopyRef> copies_;   // the source of a page that is a copy
  std::vector<Block> blocks_;
};

}  // namespace snap

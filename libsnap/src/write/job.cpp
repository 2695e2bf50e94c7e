// SPDX-License-Identifier: Apache-2.0
#include "write/job.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "codec/checksum.h"

namespace snap {

namespace {

std::size_t job_bytes(const Header& header) { return std::max<std::size_t>(kJobBytes, header.block_bytes()); }

std::size_t out_bound(const Header& header, Codec codec) {
  const std::size_t blocks = job_bytes(header) / header.block_bytes();
  const std::size_t pages = header.block_pages();
  return blocks * (sizeof(wire::RecordHead) + map_bytes(header.block_pages()) + pages * sizeof(wire::le64) +
                   std::max<std::size_t>(compress_bound(codec, header.block_bytes()), header.block_bytes()));
}

void put_map(std::span<const wire::PageKind> kinds, std::byte* map) {
  for (std::size_t page = 0; page < kinds.size(); page += 2) {
    const unsigned high = page + 1 < kinds.size() ? unsigned{kinds[page + 1]} : 0u;
    map[page / 2] = static_cast<std::byte>(kinds[page] | high << 4);
  }
}

}  // namespace

Job::Job(const Header& header, Codec codec)
    : header_(header), codec_(codec), data_(job_bytes(header)), out_(out_bound(header, codec)) {
  const std::size_t pages = data_.size() / kPageBytes;
  kinds_.resize(pages);
  digests_.resize(pages);
  blocks_.resize(data_.size() / header.block_bytes());
}

void Job::start(std::uint16_t region, std::uint64_t offset) {
  region_ = region;
  first_page_ = offset / kPageBytes;
  source_ = nullptr;
  feed_ = nullptr;
  pages_ = 0;
  open_bytes_ = 0;
  end_ = data_.data();
  raw_.clear();
  copies_.clear();
  out_bytes_ = 0;
}

void Job::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    std::size_t count = kPageBytes;
    if (open_bytes_ == 0 && bytes.size() >= kPageBytes) {
      keep_page(bytes.data());
    } else {
      count = std::min<std::size_t>(kPageBytes - open_bytes_, bytes.size());
      std::memcpy(room(count).data(), bytes.data(), count);
      keep(count);
    }
    bytes = bytes.subspan(count);
  }
}

void Job::append_zeros(std::size_t count) {
  const std::size_t before = open_bytes_ == 0 ? 0 : std::min<std::size_t>(kPageBytes - open_bytes_, count);
  std::memset(room(before).data(), 0, before);
  keep(before);
  for (count -= before; count >= kPageBytes; count -= kPageBytes) kinds_[pages_++] = wire::kZero;
  std::memset(room(count).data(), 0, count);
  keep(count);
}

void Job::keep(std::size_t bytes) {
  std::byte* from = end_;
  open_bytes_ += bytes;
  for (; open_bytes_ >= kPageBytes; open_bytes_ -= kPageBytes, from += kPageBytes) keep_page(from);
  if (from != end_ && open_bytes_ != 0) std::memmove(end_, from, open_bytes_);
}

// A page of zeros leaves nothing but its mark.
void Job::keep_page(const std::byte* from) {
  const bool zero = is_zero({from, kPageBytes});
  kinds_[pages_++] = zero ? wire::kZero : wire::kRaw;
  if (zero) return;
  if (from != end_) std::memcpy(end_, from, kPageBytes);
  raw_.push_back(end_);
  end_ += kPageBytes;
}

void Job::read_from(RandomSource& source, std::uint64_t offset, std::size_t bytes) {
  source_ = &source;
  source_offset_ = offset;
  source_bytes_ = bytes;
}

void Job::read_from(Feed& feed, std::uint64_t turn) {
  feed_ = &feed;
  feed_turn_ = turn;
}

std::uint32_t Job::pages_in(std::size_t block) const {
  const std::uint32_t before = static_cast<std::uint32_t>(block) * header_.block_pages();
  return before >= pages_ ? 0 : std::min(header_.block_pages(), pages_ - before);
}

void Job::wait_for_feed() {
  if (feed_ != nullptr) feed_->wait_for(feed_turn_);
}

void Job::pass_feed() {
  if (feed_ != nullptr) feed_->pass();
}

void Job::prepare() {
  if (open_bytes_ != 0) append_zeros(kPageBytes - open_bytes_);
  digest_blocks();
}

// Piece by piece, each to where the pages kept so far end: what is zero leaves no trace in the processor's cache.
Result<void> Job::fetch() {
  if (feed_ != nullptr) return fetch_from_feed();
  if (source_ == nullptr) return {};
  for (std::size_t at = 0; at < source_bytes_; at += kFetchBytes) {
    const std::size_t bytes = std::min(kFetchBytes, source_bytes_ - at);
    SNAP_TRY_ASSIGN(got, source_->read_at(source_offset_ + at, room(bytes)));
    if (got != bytes) return truncated(source_offset_ + at + got, "the input ends before its size");
    keep(bytes);
  }
  return {};
}

Result<void> Job::fetch_from_feed() {
  for (std::size_t at = 0; at < capacity(); at += kFetchBytes) {
    const std::size_t bytes = std::min(kFetchBytes, capacity() - at);
    SNAP_TRY_ASSIGN(got, feed_->read(room(bytes)));
    keep(got);
    if (got != bytes) break;
  }
  return {};
}

void Job::digest_blocks() {
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    const auto first = kinds_.begin() + static_cast<std::ptrdiff_t>(index * header_.block_pages());
    blocks_[index].present = std::any_of(first, first + pages_in(index), [](wire::PageKind kind) { return kind != wire::kZero; });
  }
  if (raw_.empty()) return;

  std::vector<Digest> found(raw_.size());
  page_digests(raw_, found.data());
  for (std::size_t page = 0, next = 0; page < digests_.size(); ++page) {
    const bool raw = page < pages_ && kinds_[page] == wire::kRaw;
    digests_[page] = raw ? found[next++] : zero_digest(0);
  }
  // Level by level over the whole job, so that the lanes are full; a block's pages are a whole subtree.
  std::vector<Digest> nodes(digests_);
  std::size_t count = nodes.size();
  for (std::uint32_t pages = header_.block_pages(); pages > 1; pages /= 2, count /= 2) pair_digests(nodes.data(), count / 2, nodes.data());
  for (std::size_t index = 0; index < blocks_.size(); ++index) blocks_[index].digest = nodes[index];
}

void Job::find_copies(DedupTable& table, std::uint64_t& records) {
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    if (!blocks_[index].present) continue;
    const std::size_t first = index * header_.block_pages();
    BlockPages pages{region_, first_page_ + first, ++records, header_.block_pages(), {}, {}};
    pages.kinds = std::span(kinds_).subspan(first, pages_in(index));
    pages.digests = std::span<const Digest>(digests_).subspan(first, pages_in(index));
    choose_copies(table, pages, copies_);
  }
}

Result<void> Job::compress(Compressor& compressor) {
  Cursor next;
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    if (blocks_[index].present) SNAP_TRY(compress_block(index, compressor, next));
  }
  return {};
}

Result<void> Job::compress_block(std::size_t index, Compressor& compressor, Cursor& next) {
  Block& block = blocks_[index];
  const std::uint32_t pages = pages_in(index);
  const auto kinds = std::span(kinds_).subspan(index * header_.block_pages(), pages);
  block.out_offset = out_bytes_;
  std::byte* const body = out_.data() + out_bytes_ + sizeof(wire::RecordHead);
  put_map(kinds, body);
  std::size_t body_bytes = map_bytes(pages);

  // Raw pages move together in place: what they overwrite is not needed any more.
  std::byte* const payload = raw_[next.raw];
  std::size_t payload_bytes = 0;
  for (const wire::PageKind kind : kinds) {
    if (kind == wire::kZero) continue;
    const std::byte* const from = raw_[next.raw++];
    if (kind == wire::kCopy) {
      const wire::le64 bits = encode_page_ref(copies_[next.copy++]);
      std::memcpy(body + body_bytes, &bits, sizeof bits);
      body_bytes += sizeof bits;
      continue;
    }
    if (from != payload + payload_bytes) std::memcpy(payload + payload_bytes, from, kPageBytes);
    payload_bytes += kPageBytes;
  }

  std::size_t stored = 0;
  if (payload_bytes != 0) {
    const std::span<std::byte> room = out_.span().subspan(out_bytes_ + sizeof(wire::RecordHead) + body_bytes);
    SNAP_TRY_ASSIGN(compressed, compressor.compress({payload, payload_bytes}, room));
    stored = compressed;
  }
  const bool shrank = stored != 0;
  if (!shrank && payload_bytes != 0) std::memcpy(body + body_bytes, payload, payload_bytes);
  body_bytes += shrank ? stored : payload_bytes;

  block.record = Record{};
  block.record.type = wire::kBlock;
  block.record.codec = static_cast<std::uint8_t>(shrank ? codec_ : Codec::kStore);
  block.record.region = region_;
  block.record.body_bytes = static_cast<std::uint32_t>(body_bytes);
  block.record.aux = pages;
  block.record.number = first_page_ / header_.block_pages() + index;
  block.record.body_check = check64({body, body_bytes});
  out_bytes_ += block.record.record_bytes();
  return {};
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "write/job.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "codec/checksum.h"

namespace snap {

namespace {

std::size_t job_bytes(const Header& header) { return std::max<std::size_t>(kJobBytes, header.block_bytes()); }

constexpr std::size_t kNamedBytes = sizeof(wire::le16) + format::kMaxNamedPages * sizeof(wire::Le40);

std::size_t out_bound(const Header& header, Codec codec) {
  const std::size_t blocks = job_bytes(header) / header.block_bytes();
  const std::size_t pages = header.block_pages();
  return blocks * (sizeof(wire::RecordHead) + map_bytes(header.block_pages()) + pages * sizeof(wire::le64) + kNamedBytes +
                   std::max<std::size_t>(compress_bound(codec, header.block_bytes()), header.block_bytes()));
}

// What a page that a dictionary names must save at least: each may cost a reader a block more.
constexpr std::size_t kLeastSaved = 64;

void put_map(std::span<const wire::PageKind> kinds, std::byte* map) {
  for (std::size_t page = 0; page < kinds.size(); page += 2) {
    const unsigned high = page + 1 < kinds.size() ? unsigned{kinds[page + 1]} : 0u;
    map[page / 2] = static_cast<std::byte>(kinds[page] | high << 4);
  }
}

}  // namespace

Job::Job(const Header& header, Codec codec, const Delta* delta)
    : header_(header), codec_(codec), delta_(delta), data_(job_bytes(header)), out_(out_bound(header, codec)) {
  const std::size_t pages = data_.size() / kPageBytes;
  kinds_.resize(pages);
  digests_.resize(pages);
  at_.resize(pages);
  copies_.resize(pages);
  blocks_.resize(data_.size() / header.block_bytes());
  if (delta_ == nullptr) return;
  parent_.emplace(data_.size());
  if (codec == Codec::kZstd) alternatives_.emplace(2 * compress_bound(codec, header.block_bytes()));
}

void Job::start(std::uint16_t region, std::uint64_t offset) {
  region_ = region;
  first_page_ = offset / kPageBytes;
  source_ = nullptr;
  feed_ = nullptr;
  pages_ = 0;
  open_bytes_ = 0;
  end_ = data_.data();
  out_bytes_ = 0;
  if (delta_ != nullptr) held_ = delta_->link.held(region_, offset, capacity());
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
  for (count -= before; count >= kPageBytes; count -= kPageBytes) add_zero_page();
  std::memset(room(count).data(), 0, count);
  keep(count);
}

void Job::keep(std::size_t bytes) {
  std::byte* from = end_;
  open_bytes_ += bytes;
  for (; open_bytes_ >= kPageBytes; open_bytes_ -= kPageBytes, from += kPageBytes) keep_page(from);
  if (from != end_ && open_bytes_ != 0) std::memmove(end_, from, open_bytes_);
}

// A page of zeros, or one that the parent holds at its place, leaves nothing but its mark.
void Job::keep_page(const std::byte* from) {
  if (!held_.empty() && std::memcmp(from, held_.data() + std::size_t{pages_} * kPageBytes, kPageBytes) == 0) {
    kinds_[pages_] = wire::kSame;
    at_[pages_++] = nullptr;
    return;
  }
  const bool zero = is_zero({from, kPageBytes});
  kinds_[pages_] = zero ? wire::kZero : wire::kRaw;
  at_[pages_++] = zero ? nullptr : end_;
  if (zero) return;
  if (from != end_) std::memcpy(end_, from, kPageBytes);
  end_ += kPageBytes;
}

void Job::add_zero_page() {
  const bool same = !held_.empty() && is_zero(held_.subspan(std::size_t{pages_} * kPageBytes, kPageBytes));
  kinds_[pages_] = same ? wire::kSame : wire::kZero;
  at_[pages_++] = nullptr;
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

Result<void> Job::prepare() {
  if (open_bytes_ != 0) append_zeros(kPageBytes - open_bytes_);
  if (delta_ == nullptr || held_.empty()) digest_pages();
  if (delta_ != nullptr && held_.empty()) {
    digest_blocks();
    SNAP_TRY(compare_with_parent());
  }
  find_present();
  if (!held_.empty()) digest_pages();
  digest_blocks();
  if (delta_ == nullptr) return {};
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    if (!blocks_[block].present) continue;
    find_moved(block);
    choose_xors(block);
  }
  return {};
}

// Piece by piece, each to where the pages kept so far end: what is zero leaves no trace in the processor's cache.
Result<void> Job::fetch() {
  if (feed_ != nullptr) return fetch_from_feed();
  if (source_ == nullptr) return {};
  if (const auto bytes = source_->bytes_at(source_offset_, source_bytes_); !bytes.empty()) {
    append(bytes);
    return {};
  }
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

bool Job::has_records() const {
  return std::any_of(blocks_.begin(), blocks_.end(), [](const Block& block) { return block.present; });
}

void Job::find_present() {
  const wire::PageKind nothing = delta_ != nullptr ? wire::kSame : wire::kZero;
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    const auto first = kinds_.begin() + static_cast<std::ptrdiff_t>(first_page_of(index));
    blocks_[index].present = std::any_of(first, first + pages_in(index), [&](wire::PageKind kind) { return kind != nothing; });
  }
}

// Of the blocks that get a record, or of all where that is not known yet.
void Job::digest_pages() {
  std::vector<const std::byte*> pages;
  std::vector<std::size_t> numbers;
  for (std::size_t page = 0; page < digests_.size(); ++page) {
    digests_[page] = zero_digest(0);
    if (page >= pages_ || kinds_[page] == wire::kZero) continue;
    if (!held_.empty() && !blocks_[page / header_.block_pages()].present) continue;
    pages.push_back(kinds_[page] == wire::kSame ? parent_page(page) : at_[page]);
    numbers.push_back(page);
  }
  std::vector<Digest> found(pages.size());
  page_digests(pages, found.data());
  for (std::size_t i = 0; i < found.size(); ++i) digests_[numbers[i]] = found[i];
}

// Level by level over the whole job, so that the lanes are full; a block's pages are a whole subtree.
void Job::digest_blocks() {
  std::vector<Digest> nodes(digests_);
  std::size_t count = nodes.size();
  for (std::uint32_t pages = header_.block_pages(); pages > 1; pages /= 2, count /= 2) pair_digests(nodes.data(), count / 2, nodes.data());
  for (std::size_t index = 0; index < blocks_.size(); ++index) blocks_[index].digest = nodes[index];
}

// A parent that is not held decoded need not be decoded either where a block's digest is the same.
Result<void> Job::compare_with_parent() {
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    const std::size_t first = first_page_of(block);
    const std::size_t end = first + pages_in(block);
    if (first == end) break;
    SNAP_TRY_ASSIGN(same, same_by_digest(block));
    if (!same) SNAP_TRY(read_parent(block));
    for (std::size_t page = first; page < end; ++page) {
      const bool equal = same || (at_[page] != nullptr ? std::memcmp(at_[page], parent_page(page), kPageBytes) == 0
                                                       : is_zero({parent_page(page), kPageBytes}));
      if (equal) kinds_[page] = wire::kSame;
    }
  }
  return {};
}

Result<bool> Job::same_by_digest(std::size_t block) {
  SNAP_TRY_ASSIGN(digest, delta_->link.range_digest(region_, header_.block_log2 - format::kPageLog2, number_of(block)));
  return digest == blocks_[block].digest;
}

Result<void> Job::read_parent(std::size_t block) {
  const std::size_t offset = first_page_of(block) * kPageBytes;
  const auto out = parent_->span().subspan(offset, std::size_t{pages_in(block)} * kPageBytes);
  return delta_->link.read(region_, first_page_ * kPageBytes + offset, out, {});
}

const std::byte* Job::parent_page(std::size_t page) const {
  return (held_.empty() ? parent_->data() : held_.data()) + page * kPageBytes;
}

// What stands elsewhere in the parent need not be stored.
void Job::find_moved(std::size_t block) {
  if (delta_->moved == nullptr) return;
  for (std::size_t page = first_page_of(block); page < first_page_of(block) + pages_in(block); ++page) {
    if (kinds_[page] != wire::kRaw) continue;
    if (const auto found = delta_->moved->find(digests_[page])) {
      kinds_[page] = wire::kCopy;
      copies_[page] = {*found, true};
    }
  }
}

void Job::choose_xors(std::size_t block) {
  if (delta_->form == DeltaForm::kRaw || delta_->form == DeltaForm::kDictionary) return;
  for (std::size_t page = first_page_of(block); page < first_page_of(block) + pages_in(block); ++page) {
    if (kinds_[page] != wire::kRaw) continue;
    if (delta_->form == DeltaForm::kXor || prefers_xor(at_[page], parent_page(page))) kinds_[page] = wire::kXor;
  }
}

void Job::find_copies(DedupTable& table, std::uint64_t& records) {
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    if (!blocks_[index].present) continue;
    const std::size_t first = first_page_of(index);
    BlockPages pages{region_, first_page_ + first, ++records, header_.block_pages(), {}, {}, {}};
    pages.kinds = std::span(kinds_).subspan(first, pages_in(index));
    pages.digests = std::span<const Digest>(digests_).subspan(first, pages_in(index));
    pages.copies = std::span(copies_).subspan(first, pages_in(index));
    choose_copies(table, pages);
  }
}

Result<void> Job::compress(Compressor& compressor) {
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    if (blocks_[index].present) SNAP_TRY(compress_block(index, compressor));
  }
  return {};
}

Result<void> Job::compress_block(std::size_t index, Compressor& compressor) {
  Block& block = blocks_[index];
  const std::uint32_t pages = pages_in(index);
  const std::size_t first = first_page_of(index);
  block.out_offset = out_bytes_;
  std::byte* const body = out_.data() + out_bytes_ + sizeof(wire::RecordHead);
  std::size_t body_bytes = map_bytes(pages);

  // Stored pages move together in place: what they overwrite is not needed any more.
  std::byte* payload = nullptr;
  std::size_t payload_bytes = 0;
  for (std::size_t page = first; page < first + pages; ++page) {
    if (kinds_[page] == wire::kCopy) {
      const wire::le64 bits = encode_copy(copies_[page]);
      std::memcpy(body + body_bytes, &bits, sizeof bits);
      body_bytes += sizeof bits;
    }
    if (at_[page] != nullptr && payload == nullptr) payload = at_[page];
    if (!BlockView::is_stored(kinds_[page])) continue;
    if (at_[page] != payload + payload_bytes) std::memcpy(payload + payload_bytes, at_[page], kPageBytes);
    payload_bytes += kPageBytes;
  }

  const auto room = out_.span().subspan(out_bytes_ + sizeof(wire::RecordHead) + body_bytes);
  SNAP_TRY_ASSIGN(stored, compress_payload(index, {payload, payload_bytes}, room, compressor));
  body_bytes += stored.bytes;
  put_map(std::span(kinds_).subspan(first, pages), body);
  block.record = Record{};
  block.record.type = wire::kBlock;
  block.record.codec = stored.codec;
  block.record.region = region_;
  block.record.body_bytes = static_cast<std::uint32_t>(body_bytes);
  block.record.aux = pages;
  block.record.number = number_of(index);
  block.record.body_check = check64({body, body_bytes});
  out_bytes_ += block.record.record_bytes();
  return {};
}

// All raw over the parent's pages, and with the XORs that were chosen: SPEC 12 says which is taken.
Result<Job::Payload> Job::compress_payload(std::size_t index, std::span<std::byte> pages, std::span<std::byte> out, Compressor& compressor) {
  if (pages.empty()) return Payload{};
  SNAP_TRY_ASSIGN(over, compress_over_parent(index, pages, compressor));
  if (delta_ != nullptr) xor_payload(index, pages);
  SNAP_TRY_ASSIGN(plain, compressor.compress(pages, out));
  const std::size_t plain_bytes = plain != 0 ? plain : pages.size();
  if (!over.payload.empty() && (over.bytes() < plain_bytes - plain_bytes / 32 || delta_->form == DeltaForm::kDictionary)) {
    return put_over_parent(index, over, out);
  }
  if (plain != 0) return Payload{static_cast<wire::CodecId>(codec_), plain};
  std::memcpy(out.data(), pages.data(), pages.size());
  return Payload{wire::kStore, pages.size()};
}

Job::Payload Job::put_over_parent(std::size_t index, const OverParent& over, std::span<std::byte> out) {
  const auto first = kinds_.begin() + static_cast<std::ptrdiff_t>(first_page_of(index));
  std::replace(first, first + pages_in(index), wire::kXor, wire::kRaw);
  std::byte* to = out.data();
  const auto put = [&](std::span<const std::byte> bytes) {
    std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  };
  put(bytes_of(wire::le16(static_cast<std::uint16_t>(over.named.size()))));
  for (const std::uint64_t page : over.named) put(bytes_of(wire::Le40::of(page)));
  put(over.payload);
  return {wire::kZstdOverParent, over.bytes()};
}

// Nothing where the parent's block is no dictionary, or there is none. Whether it is better than none is not looked at.
Result<Job::OverParent> Job::compress_over_parent(std::size_t index, std::span<const std::byte> pages, Compressor& compressor) {
  if (delta_ == nullptr || delta_->form == DeltaForm::kRaw || delta_->form == DeltaForm::kXor || codec_ != Codec::kZstd) return OverParent{};
  const std::span own(parent_page(first_page_of(index)), std::size_t{pages_in(index)} * kPageBytes);
  SNAP_TRY_ASSIGN(named, compress_over_named(index, pages, own, compressor));
  if (is_zero(own)) return named;
  SNAP_TRY_ASSIGN(in_place, delta_->link.in_place(region_, (first_page_ + first_page_of(index)) * kPageBytes, own.size()));
  if (!in_place) return named;
  const auto room = alternatives_->span().first(alternatives_->size() / 2);
  SNAP_TRY_ASSIGN(bytes, compressor.compress_over(own, pages, room));
  const OverParent plain{room.first(bytes), {}};
  const bool names = !named.payload.empty() && (bytes == 0 || named.bytes() + named.named.size() * kLeastSaved < plain.bytes());
  return names ? named : plain;
}

// The best that lie in place: SPEC 12. Ascending.
Result<std::vector<std::uint64_t>> Job::choose_named(std::size_t index, std::span<const std::byte> pages) const {
  std::vector<std::uint64_t> chosen;
  const auto counterpart = delta_->link.counterpart(region_);
  if (delta_->pieces == nullptr || !counterpart) return chosen;
  const std::uint64_t first = first_page_ + first_page_of(index);
  const std::size_t most = std::min<std::size_t>(2 * header_.block_pages(), format::kMaxNamedPages);
  std::size_t tries = 0;
  for (const std::uint64_t page :
       pages_in_common(*delta_->pieces, pages, static_cast<std::uint16_t>(*counterpart), first, header_.block_pages())) {
    if (chosen.size() == most || ++tries > 4 * most) break;
    SNAP_TRY_ASSIGN(in_place, delta_->link.in_place(region_, page * kPageBytes, kPageBytes));
    if (in_place) chosen.push_back(page);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

Result<Job::OverParent> Job::compress_over_named(std::size_t index, std::span<const std::byte> pages, std::span<const std::byte> own,
                                                 Compressor& compressor) {
  SNAP_TRY_ASSIGN(chosen, choose_named(index, pages));
  OverParent over{{}, std::move(chosen)};
  if (over.named.empty()) return over;
  const std::uint64_t first = first_page_ + first_page_of(index);
  dictionary_.resize(over.named.size() * kPageBytes + own.size());
  SNAP_TRY(delta_->link.read_dictionary(region_, first * kPageBytes, over.named, own, dictionary_, {}));
  const auto room = alternatives_->span().last(alternatives_->size() / 2);
  SNAP_TRY_ASSIGN(bytes, compressor.compress_over(dictionary_, pages, room));
  over.payload = room.first(bytes);
  return over;
}

void Job::xor_payload(std::size_t index, std::span<std::byte> payload) {
  for (std::size_t page = first_page_of(index), at = 0; page < first_page_of(index) + pages_in(index); ++page) {
    if (!BlockView::is_stored(kinds_[page])) continue;
    if (kinds_[page] == wire::kXor) xor_page(payload.data() + at, parent_page(page));
    at += kPageBytes;
  }
}

}  // namespace snap

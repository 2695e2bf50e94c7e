// SPDX-License-Identifier: Apache-2.0
// Makes the checks of a changed file fit again, at some levels or all, so that what stands behind them is reached.
// Written from SPEC.md; of the library it uses checksums, and for content digests the block decoder and the way to a parent's pages.
#pragma once

#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "chain/parent_link.h"
#include "codec/checksum.h"
#include "format/limits.h"
#include "format/wire.h"
#include "image/block.h"
#include "image/catalog.h"
#include "read/image.h"
#include "support/content.h"

namespace snap::test {

struct ResignOptions {
  bool header = true;
  bool bodies = true;     ///< body_check of each record
  bool heads = true;      ///< magic, prior and head_check of each record
  bool pointers = true;   ///< node entries and the root in CLOSE: place and check of what they name; the parent's digest
  bool digests = true;    ///< content digests in nodes, CLOSE and SEAL
  bool end = true;        ///< CATALOG, from the records; trailer
};

class Resigner {
 public:
  /// `parent`: a child's digests need it.
  Resigner(Bytes& file, const ResignOptions& options, Reader* parent) : file_(file), options_(options) {
    if (parent != nullptr) link_.emplace(*parent);
  }

  void run() {
    if (file_.size() < sizeof(wire::Header) + sizeof(wire::Trailer)) return;
    sign_header();
    std::size_t at = std::min<std::size_t>(header_.header_bytes, file_.size());
    const std::size_t end = file_.size() - sizeof(wire::Trailer);
    while (at + sizeof(wire::RecordHead) <= end) {
      auto head = get<wire::RecordHead>(at);
      if (head.type == wire::kCatalog && options_.end) {
        file_.resize(at);
        write_end();
        return;
      }
      if (options_.heads) {
        std::memcpy(head.magic, wire::kRecordMagic, sizeof head.magic);
        head.body_bytes = static_cast<std::uint32_t>(std::min<std::size_t>(head.body_bytes, end - at - sizeof head));
      }
      if (head.body_bytes > end - at - sizeof head) return;
      sign_record(at, head);
      at += sizeof head + head.body_bytes;
    }
    if (options_.end) sign_trailer();
  }

 private:
  struct Child {
    std::uint64_t number;
    wire::NodeEntry entry;
    Digest digest;
    bool known;  // the digest
  };

  template <typename Wire>
  Wire get(std::size_t at) const {
    Wire value;
    std::memcpy(&value, file_.data() + at, sizeof value);
    return value;
  }
  template <typename Wire>
  void put(std::size_t at, const Wire& value) {
    std::memcpy(file_.data() + at, &value, sizeof value);
  }
  std::span<const std::byte> bytes(std::size_t at, std::size_t count) const { return std::span(file_).subspan(at, count); }

  void sign_header() {
    header_ = get<wire::Header>(0);
    const std::size_t length = std::min<std::size_t>(header_.header_bytes, file_.size());
    if (options_.header && length >= sizeof header_) {
      header_.check = check64(bytes(0, offsetof(wire::Header, check)), bytes(sizeof header_, length - sizeof header_), 0);
      put(0, header_);
    }
    prior_ = header_.check;
    height_ = header_.block_log2 >= format::kMinBlockLog2 && header_.block_log2 <= format::kMaxBlockLog2 ? header_.block_log2 - 12u : 4;
    parsed_.block_log2 = height_ + 12;
    if ((header_.incompatible & 1) != 0) {
      parsed_.set_parent_depth(std::max<unsigned>(1, header_.parent_depth));
    } else {
      link_.reset();
    }
  }

  void sign_record(std::size_t at, wire::RecordHead head) {
    const std::size_t body = at + sizeof head;
    ++records_;
    switch (head.type) {
      case wire::kRegion: begin_region(at, body, head); break;
      case wire::kParent: fix_parent(body, head.body_bytes); break;
      case wire::kNode: fix_node(body, head); break;
      case wire::kClose: fix_close(body, head); break;
      case wire::kSeal: fix_seal(body, head.body_bytes); break;
      case wire::kMeta: metadata_.emplace_back(body, head.body_bytes); break;
      default: break;
    }
    if (options_.bodies) head.body_check = check64(bytes(body, head.body_bytes));
    if (options_.heads) {
      head.prior = prior_;
      put(at, head);
      head.head_check = check64(bytes(at, offsetof(wire::RecordHead, head_check)), at);
    }
    put(at, head);
    prior_ = head.head_check;
    last_ = head;
    last_at_ = at;
    const wire::NodeEntry entry{at, static_cast<std::uint32_t>(sizeof head + head.body_bytes), head.head_check, {}};
    if (head.type == wire::kBlock) {
      Digest digest;
      const bool known = options_.digests && digest_block(at, head, digest);
      children_[0].push_back({head.number, entry, digest, known});
    } else if (head.type == wire::kNode && head.aux < 8) {
      children_[head.aux + 1].push_back({head.number, entry, node_digest_, node_known_});
    }
  }

  void fix_parent(std::size_t body, std::size_t count) {
    if (options_.pointers && link_ && count >= sizeof(wire::Digest)) std::memcpy(file_.data() + body, link_->reader().digest().bytes.data(), sizeof(wire::Digest));
    parent_body_.assign(file_.begin() + static_cast<std::ptrdiff_t>(body), file_.begin() + static_cast<std::ptrdiff_t>(body + count));
  }

  void begin_region(std::size_t at, std::size_t body, const wire::RecordHead& head) {
    children_.clear();
    region_body_.assign(file_.begin() + static_cast<std::ptrdiff_t>(body), file_.begin() + static_cast<std::ptrdiff_t>(body + head.body_bytes));
    if (!link_) return;
    const auto info = parse_region_body(region_body_, at);
    link_->add_region(info ? *info : RegionInfo{}, info ? info->size : 0);
    link_->set_size(link_->region_count() - 1, size_at_close(at));
  }

  // What is digested as the parent's ends with the region.
  std::uint64_t size_at_close(std::size_t at) const {
    while (at + sizeof(wire::RecordHead) <= file_.size()) {
      const auto head = get<wire::RecordHead>(at);
      if (head.type == wire::kClose) return std::min<std::uint64_t>(head.number, format::kMaxRegionBytes);
      at += sizeof head + head.body_bytes;
    }
    return 0;
  }

  // The digest of what no record stands for. False where the parent cannot give it.
  bool absent_digest(unsigned height, std::uint64_t number, Digest& digest) const {
    if (parsed_.has_parent() && (!link_ || link_->region_count() == 0)) return false;
    digest = zero_digest(height);
    if (!parsed_.has_parent() || height > 40 || number > format::kMaxPageNumber >> height) return true;
    const auto found = link_->range_digest(link_->region_count() - 1, height, number);
    if (found) digest = *found;
    return found.has_value();
  }

  void fix_node(std::size_t body, const wire::RecordHead& head) {
    node_known_ = head.aux < 8;
    auto& below = children_[std::min<std::uint32_t>(head.aux, 8)];
    std::size_t at = body + wire::kNodeBitmapBytes;
    const unsigned height = height_ + 8 * std::min<std::uint32_t>(head.aux, 4);
    std::vector<Digest> digests(256, zero_digest(std::min(height, 40u)));
    std::size_t next = 0;
    for (unsigned child = 0; child < 256 && head.body_bytes >= wire::kNodeBitmapBytes; ++child) {
      if ((std::to_integer<unsigned>(file_[body + child / 8]) >> child % 8 & 1) == 0) {
        node_known_ &= absent_digest(std::min(height, 40u), head.number % (std::uint64_t{1} << 32) * 256 + child, digests[child]);
        continue;
      }
      if (at + sizeof(wire::NodeEntry) > body + head.body_bytes) break;
      auto entry = get<wire::NodeEntry>(at);
      while (next < below.size() && below[next].number % 256 != child) ++next;
      if (next < below.size()) {
        const Child& named = below[next++];
        if (options_.pointers) {
          const auto digest = entry.digest;
          entry = named.entry;
          entry.digest = digest;
        }
        if (options_.digests && named.known) std::memcpy(entry.digest.bytes, named.digest.bytes.data(), sizeof entry.digest.bytes);
        put(at, entry);
      }
      std::memcpy(digests[child].bytes.data(), entry.digest.bytes, sizeof entry.digest.bytes);
      at += sizeof entry;
    }
    below.clear();
    const std::size_t count = height >= 40 ? 1 : std::min<std::size_t>(256, std::size_t{1} << (40 - height));
    node_digest_ = tree_digest(std::span(digests).first(count));
  }

  void fix_close(std::size_t body, const wire::RecordHead& head) {
    if (head.body_bytes == sizeof(wire::CloseBody)) {
      auto close = get<wire::CloseBody>(body);
      for (unsigned level = 8; level > 0; --level) {
        if (children_[level].size() != 1) continue;
        const Child& root = children_[level][0];
        if (options_.pointers) {
          close.root_offset = root.entry.offset;
          close.root_bytes = root.entry.record_bytes;
          close.root_check = root.entry.head_check;
        }
        if (options_.digests && root.known) set_region_digest(close, region_tree_digest(root.digest, std::min(40u, height_ + 8 * level)), head.number);
        break;
      }
      Digest absent;
      if (options_.digests && close.root_bytes == 0 && absent_digest(40, 0, absent)) set_region_digest(close, absent, head.number);
      put(body, close);
      closes_.push_back({region_body_, head.number, close});
    }
    children_.clear();
  }

  void set_region_digest(wire::CloseBody& close, const Digest& tree, std::uint64_t size) const {
    Bytes described = region_body_;
    if (described.size() >= sizeof(wire::RegionBody)) {
      const wire::le64 field(size);
      std::memcpy(described.data() + offsetof(wire::RegionBody, announced_size), &field, sizeof field);
    }
    append(described, std::as_bytes(std::span(tree.bytes)));
    const Digest digest = digest_of(described);
    std::memcpy(close.digest.bytes, digest.bytes.data(), sizeof close.digest.bytes);
  }

  wire::Digest snapshot_digest_of_closes() const {
    Bytes all;
    for (const auto& close : closes_) append(all, bytes_of(close.close.digest));
    const Digest digest = digest_of(all);
    wire::Digest to;
    std::memcpy(to.bytes, digest.bytes.data(), sizeof to.bytes);
    return to;
  }

  void fix_seal(std::size_t body, std::size_t count) {
    if (!options_.digests || count != sizeof(wire::SealBody)) return;
    put(body, wire::SealBody{static_cast<std::uint32_t>(closes_.size()), snapshot_digest_of_closes()});
  }

  // Blocks of the file so far are kept decoded: copies name them.
  bool digest_block(std::size_t at, const wire::RecordHead& head, Digest& digest) {
    const auto record = parse_head(bytes(at, sizeof head), at);
    if (!record) return false;
    const auto view = parse_block(*record, bytes(at + sizeof head, head.body_bytes), parsed_);
    if (!view) return false;
    Bytes out(std::size_t{view->pages()} * kPage);
    if (parsed_.has_parent()) {
      if (!link_ || link_->region_count() == 0 || record->region >= link_->region_count()) return false;
      if (!link_->read(record->region, record->number << parsed_.block_log2, out, {})) return false;
    }
    const ParentLink* const link = link_ ? &*link_ : nullptr;
    std::vector<PendingCopy> pending;
    if (!decode_block(*record, *view, parsed_, out, link != nullptr ? Target::kParent : Target::kAnything, scratch_, pending, link)) return false;
    for (const PendingCopy& copy : pending) {
      if (copy.source.of_parent) {
        if (!link->read_page(copy.source.page, std::span(out).subspan(std::size_t{copy.page} * kPage, kPage), {})) return false;
        continue;
      }
      const auto source = decoded_.find({copy.source.page.region, copy.source.page.page / parsed_.block_pages()});
      const std::size_t from = copy.source.page.page % parsed_.block_pages() * kPage;
      if (source == decoded_.end() || source->second.size() < from + kPage) return false;
      std::memcpy(out.data() + std::size_t{copy.page} * kPage, source->second.data() + from, kPage);
    }
    std::vector<const std::byte*> pages;
    for (std::size_t page = 0; page < out.size(); page += kPage) pages.push_back(out.data() + page);
    std::vector<Digest> digests(parsed_.block_pages(), zero_digest(0));
    page_digests(pages, digests.data());
    digest = tree_digest(digests);
    decoded_[{record->region, record->number}] = std::move(out);
    return true;
  }

  // CATALOG and trailer as they follow from the records that stand before.
  void write_end() {
    Bytes body;
    std::map<std::string, Bytes> pairs;
    for (const auto& [at, count] : metadata_) {
      ByteReader reader(bytes(at, count));
      while (const auto pair = reader.take<wire::MetaPair>()) {
        const auto key = reader.take_bytes(pair->key_bytes);
        const auto value = reader.take_bytes(pair->value_bytes);
        if (!key || !value) break;
        Bytes all;
        append(all, bytes_of(*pair));
        append(all, *key);
        append(all, *value);
        pairs[std::string(text_of(*key))] = std::move(all);
      }
    }
    Bytes metadata;
    for (const auto& [key, pair] : pairs) append(metadata, pair);
    append(body, bytes_of(wire::CatalogBody{static_cast<std::uint32_t>(closes_.size()), static_cast<std::uint32_t>(metadata.size()), snapshot_digest_of_closes()}));
    for (const auto& close : closes_) {
      append(body, close.region);
      append(body, bytes_of(wire::le64(close.size)));
      append(body, bytes_of(close.close));
    }
    append(body, metadata);
    if (parsed_.has_parent()) append(body, parent_body_);
    wire::RecordHead head{};
    std::memcpy(head.magic, wire::kRecordMagic, sizeof head.magic);
    head.type = wire::kCatalog;
    head.body_bytes = static_cast<std::uint32_t>(body.size());
    const std::size_t at = file_.size();
    file_.resize(at + sizeof head);
    put(at, head);
    append(file_, body);
    ResignOptions all;
    std::swap(options_, all);
    sign_record(at, head);
    std::swap(options_, all);
    file_.resize(file_.size() + sizeof(wire::Trailer));
    sign_trailer();
  }

  // Over the last record, which a reader takes for the catalog.
  void sign_trailer() {
    wire::Trailer trailer{};
    std::memcpy(trailer.magic, wire::kTrailerMagic, sizeof trailer.magic);
    trailer.file_bytes = file_.size();
    trailer.catalog_offset = last_at_;
    trailer.catalog_bytes = static_cast<std::uint32_t>(sizeof(wire::RecordHead)) + last_.body_bytes;
    trailer.catalog_check = last_.head_check;
    trailer.header_check = header_.check;
    trailer.records = records_;
    const std::size_t at = file_.size() - sizeof trailer;
    trailer.check = check64(bytes_of(trailer).first(offsetof(wire::Trailer, check)), at);
    put(at, trailer);
  }

  struct Close {
    Bytes region;
    std::uint64_t size;
    wire::CloseBody close;
  };
  Bytes& file_;
  ResignOptions options_;
  std::optional<ParentLink> link_;
  Bytes parent_body_;
  wire::Header header_{};
  Header parsed_;
  unsigned height_ = 4;
  std::uint64_t prior_ = 0;
  std::uint64_t records_ = 0;
  wire::RecordHead last_{};
  std::size_t last_at_ = 0;
  std::map<unsigned, std::vector<Child>> children_;
  Digest node_digest_;
  bool node_known_ = false;
  Bytes region_body_;
  std::vector<Close> closes_;
  std::vector<std::pair<std::size_t, std::size_t>> metadata_;
  std::map<std::pair<std::uint16_t, std::uint64_t>, Bytes> decoded_;
  Scratch scratch_;
};

inline void resign(Bytes& file, const ResignOptions& options = {}, Reader* parent = nullptr) { Resigner(file, options, parent).run(); }

}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
#include "write/parent_pages.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <new>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/threads.h"
#include "chain/page_reader.h"
#include "codec/checksum.h"
#include "format/limits.h"

namespace snap {

namespace {

constexpr std::size_t kPieceBytes = 2u << 20;
constexpr std::size_t kPiecesAhead = 16;  // at least as many as threads are of use

/// A stretch of a region and the digests of its pages.
struct Piece {
  std::size_t region = 0;
  std::uint64_t offset = 0;
  std::size_t bytes = 0;
  std::vector<std::byte> buffer;
  std::vector<std::uint32_t> pages;  // in the piece: those that are not zero
  std::vector<Digest> digests;
  std::array<std::vector<std::pair<std::uint64_t, std::uint32_t>>, SampleTable::kParts> samples;  // and the pages that have them
  Error error;
};

/// Digests pieces on threads, and takes them into the table in order, so that the table does not depend on the threads.
class PageIndexer {
 public:
  PageIndexer(Reader& parent, const ParentPages::Options& options, IndexedPages& to)
      : parent_(parent), options_(options), to_(to), batch_(kPiecesAhead) {}

  Result<void> run() {
    while (true) {
      SNAP_TRY_ASSIGN(count, next_batch());
      if (count == 0) return {};
      if (options_.cancel != nullptr && *options_.cancel) return fail(Code::kCancelled, "cancelled");
      for_each(count, [this](std::size_t i) { digest_guarded(batch_[i]); });
      for (std::size_t i = 0; i < count; ++i) {
        if (batch_[i].error.code != Code::kOk) return batch_[i].error;
      }
      for_each(SampleTable::kParts + 1, [this, count](std::size_t part) { take(part, count); });
    }
  }

 private:
  // Only what may have data becomes pieces: a region may have petabytes without.
  Result<std::size_t> next_batch() {
    std::size_t count = 0;
    for (; count < batch_.size() && region_ < parent_.regions().size();) {
      const RegionInfo& info = parent_.regions()[region_];
      if (info.kind != RegionKind::kMemory || offset_ >= info.size) {
        ++region_;
        offset_ = data_end_ = 0;
        continue;
      }
      if (offset_ >= data_end_) {
        SNAP_TRY_ASSIGN(extent, parent_.extent(region_, offset_));
        (extent.data ? data_end_ : offset_) = extent.offset + extent.length;
        if (!extent.data && options_.progress != nullptr) *options_.progress += extent.length;
        if (!extent.data) continue;
      }
      Piece& piece = batch_[count++];
      piece.region = region_;
      piece.offset = offset_;
      piece.bytes = static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, data_end_ - offset_));
      piece.error = {};
      offset_ += piece.bytes;
    }
    return count;
  }

  template <typename Work>
  void for_each(std::size_t count, Work one) {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      for (std::size_t i = next++; i < count; i = next++) one(i);
    };
    ThreadGroup helpers;
    // Where threads cannot be had, this one does it all.
    if (options_.threads > 1) static_cast<void>(helpers.start(options_.threads - 1, [&](unsigned) { work(); }));
    work();
  }

  void digest_guarded(Piece& piece) {
    try {
      if (const auto done = digest(piece); !done) piece.error = done.error();
    } catch (const std::bad_alloc&) {
      piece.error = fail(Code::kNoMemory, "out of memory");
    }
  }

  Result<void> digest(Piece& piece) {
    piece.pages.clear();
    for (auto& samples : piece.samples) samples.clear();
    // A last page that is not whole is not looked for.
    const std::size_t whole = piece.bytes / kPageBytes * kPageBytes;
    if (whole != 0) {
      SNAP_TRY_ASSIGN(bytes, content(piece, whole));
      std::vector<const std::byte*> at;
      for (std::uint32_t page = 0; page < whole / kPageBytes; ++page) {
        if (is_zero(bytes.subspan(std::size_t{page} * kPageBytes, kPageBytes))) continue;
        at.push_back(bytes.data() + std::size_t{page} * kPageBytes);
        piece.pages.push_back(page);
        for_each_sample({at.back(), kPageBytes}, [&](std::uint64_t hash) { piece.samples[SampleTable::part_of(hash)].emplace_back(hash, page); });
      }
      piece.digests.resize(at.size());
      page_digests(at, piece.digests.data());
    }
    if (options_.progress != nullptr) *options_.progress += piece.bytes;
    return {};
  }

  Result<std::span<const std::byte>> content(Piece& piece, std::size_t bytes) {
    if (const auto held = parent_.held(piece.region); !held.empty()) return held.subspan(static_cast<std::size_t>(piece.offset), bytes);
    piece.buffer.resize(kPieceBytes);
    const auto out = std::span(piece.buffer).first(bytes);
    SNAP_TRY(parent_.read(piece.region, piece.offset, out));
    return std::span<const std::byte>(out);
  }

  // Each part in the order of the pages; the last is that of whole pages.
  void take(std::size_t part, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const Piece& piece = batch_[i];
      const auto page_at = [&](std::uint32_t page) {
        return PageRef{static_cast<std::uint16_t>(piece.region), piece.offset / kPageBytes + page};
      };
      if (part == SampleTable::kParts) {
        for (std::size_t k = 0; k < piece.pages.size(); ++k) to_.pages.insert(piece.digests[k], page_at(piece.pages[k]));
      } else {
        for (const auto& [hash, page] : piece.samples[part]) to_.pieces.insert(hash, page_at(page));
      }
    }
  }

  Reader& parent_;
  const ParentPages::Options& options_;
  IndexedPages& to_;
  std::vector<Piece> batch_;
  std::size_t region_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t data_end_ = 0;  // of the stretch that offset_ is in
};

// What the parent's memory has at most in pages that are not zero. Those of a chain's other files are not counted by its records.
std::size_t most_pages(const Reader& parent) {
  std::uint64_t pages = 0;
  for (std::size_t region = 0; region < parent.regions().size(); ++region) {
    if (parent.regions()[region].kind != RegionKind::kMemory) continue;
    const std::uint64_t all = ceil_div(parent.regions()[region].size, kPageBytes);
    const std::uint64_t stored = parent.region_stats(region).block_records * (parent.block_bytes() / kPageBytes);
    pages += parent.depth() == 0 ? std::min(all, stored) : all;
  }
  return static_cast<std::size_t>(pages);
}

}  // namespace

Result<std::unique_ptr<ParentPages>> ParentPages::index(Reader& parent, const Options& options) {
  auto indexed = std::make_unique<IndexedPages>(parent.digest(), most_pages(parent));
  SNAP_TRY(PageIndexer(parent, options, *indexed).run());
  return std::unique_ptr<ParentPages>(std::move(indexed));
}

}  // namespace snap

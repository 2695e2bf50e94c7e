// SPDX-License-Identifier: Apache-2.0
#include "check/block_check.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <new>

#include "base/fail.h"
#include "base/threads.h"
#include "codec/checksum.h"
#include "read/image.h"

namespace snap {

namespace {

struct Worker {
  Decompressor decompressor;
  Bytes payload;
  Bytes parent;
  Bytes dictionary;
  std::uint32_t allowance = ReadTask::kAllowance;  // of the block
  ReadTask task() { return {.allowance = &allowance}; }
};

// The parent's pages of the block; nothing where there is no parent, or it fails.
std::span<const std::byte> parent_pages(CheckedBlock& block, const BlockView& view, const Header& header, const ParentLink* link, Worker& worker) {
  if (link == nullptr || block.record.region >= link->region_count()) return {};
  worker.parent.resize(std::size_t{view.pages()} * kPageBytes);
  if (const auto read = link->read(block.record.region, block.record.number << header.block_log2, worker.parent, worker.task()); !read) {
    block.parent_error = read.error();
    return {};
  }
  return worker.parent;
}

// The same for the dictionary.
std::span<const std::byte> dictionary_of(CheckedBlock& block, const BlockView& view, const Header& header, std::span<const std::byte> parent,
                                         const ParentLink* link, Worker& worker) {
  if (!view.over_parent() || parent.empty()) return {};
  worker.dictionary.resize(view.dictionary_bytes());
  const std::uint64_t offset = block.record.number << header.block_log2;
  if (const auto read = link->read_dictionary(block.record.region, offset, named_pages(view), parent, worker.dictionary, worker.task()); !read) {
    block.parent_error = read.error();
    return {};
  }
  return worker.dictionary;
}

/// The bytes of a block's pages, as far as the block and its parent give them.
class PageContents {
 public:
  PageContents(CheckedBlock& block, const BlockView& view, const ParentLink* link, const ReadTask& task)
      : block_(block), view_(view), link_(link), task_(task) {}

  /// 4096 bytes; null for a page that cannot be had, or is a copy within the file.
  Result<const std::byte*> page(std::uint32_t page, std::byte* stored, std::span<const std::byte> parent) {
    const std::byte* below = parent.empty() ? nullptr : parent.data() + std::size_t{page} * kPageBytes;
    switch (view_.kind(page)) {
      case wire::kSame: return below;
      case wire::kRaw: return stored;
      case wire::kXor:
        if (is_zero({stored, kPageBytes})) return corrupt(block_.record.offset, "a XOR with the parent's page that is all zero", page);
        if (below == nullptr) return below;
        xor_page(stored, below);
        return stored;
      case wire::kCopy: return copied();
      default: return kZeros.data();
    }
  }

 private:
  static constexpr std::array<std::byte, kPageBytes> kZeros{};

  Result<const std::byte*> copied() {
    const CopyRef source = view_.copy(next_copy_++);
    block_.sources.push_back(source);
    const std::byte* none = nullptr;
    if (!source.of_parent || link_ == nullptr) return none;
    copies_.emplace_back(kPageBytes);
    if (const auto read = link_->read_page(source.page, copies_.back(), task_); !read) {
      if (read.error().ancestor == 0) return read.error();
      block_.parent_error = read.error();
      return none;
    }
    return copies_.back().data();
  }

  CheckedBlock& block_;
  const BlockView& view_;
  const ParentLink* link_;
  ReadTask task_;
  std::uint32_t next_copy_ = 0;
  std::deque<Bytes> copies_;
};

Result<void> decode(CheckedBlock& block, const Header& header, const ParentLink* link, Worker& worker) {
  SNAP_TRY_ASSIGN(view, parse_block(block.record, block.body, header));
  worker.allowance = ReadTask::kAllowance;
  const auto parent = view.needs_parent() ? parent_pages(block, view, header, link, worker) : std::span<const std::byte>();
  const auto dictionary = dictionary_of(block, view, header, parent, link, worker);
  const bool readable = !view.over_parent() || !dictionary.empty();
  worker.payload.resize(std::max(worker.payload.size(), view.payload_bytes()));
  const auto payload = std::span(worker.payload).first(view.payload_bytes());
  if (readable && !payload.empty() && !worker.decompressor.decompress(view.codec(), view.payload(), payload, dictionary)) {
    return corrupt(block.record.offset, "a block does not decode to its pages", block.record.number);
  }

  PageContents contents(block, view, link, worker.task());
  std::vector<const std::byte*> pages;
  std::vector<std::uint32_t> numbers;
  block.kinds.resize(view.pages());
  for (std::uint32_t page = 0, stored = 0; page < view.pages(); ++page) {
    block.kinds[page] = view.kind(page);
    const bool lacking = BlockView::is_stored(view.kind(page)) && !readable;
    std::byte* const at = payload.data() + std::size_t{stored} * kPageBytes;
    stored += BlockView::is_stored(view.kind(page));
    if (lacking) continue;
    SNAP_TRY_ASSIGN(content, contents.page(page, at, parent));
    if (content == nullptr) continue;
    pages.push_back(content);
    numbers.push_back(page);
  }
  std::vector<Digest> digests(pages.size());
  page_digests(pages, digests.data());
  block.digests.assign(header.block_pages(), zero_digest(0));
  std::fill_n(block.digests.begin(), view.pages(), Digest{});
  for (std::size_t i = 0; i < pages.size(); ++i) {
    block.digests[numbers[i]] = digests[i];
    if (block.kinds[numbers[i]] == wire::kRaw && digests[i] == zero_digest(0)) {
      return corrupt(block.record.offset, "a raw page that is all zero", numbers[i]);
    }
  }
  if (!numbers.empty() && numbers.back() == view.pages() - 1) block.last_page.assign(pages.back(), pages.back() + kPageBytes);
  return {};
}

void decode_guarded(CheckedBlock& block, const Header& header, const ParentLink* link, Worker& worker) {
  if (block.error.code != Code::kOk) return;
  try {
    if (auto result = decode(block, header, link, worker); !result) block.error = result.error();
  } catch (const std::bad_alloc&) {
    block.error = fail(Code::kNoMemory, "out of memory", block.record.offset);
  }
}

}  // namespace

void decode_blocks(std::vector<CheckedBlock>& batch, const Header& header, const ParentLink* link, unsigned threads) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    Worker worker;
    for (std::size_t i = next++; i < batch.size(); i = next++) {
      decode_guarded(batch[i], header, link, worker);
      if (batch[i].parent_error.code == Code::kLimit) next = batch.size();  // it ends the check: the others would cost as much
    }
  };
  ThreadGroup helpers;
  // Where threads cannot be had, this one does it all.
  if (threads > 1) static_cast<void>(helpers.start(std::min<unsigned>(threads - 1, static_cast<unsigned>(batch.size())), [&](unsigned) { work(); }));
  work();
}

void CopyWindow::push(Seen seen) {
  if (blocks_ == 0) return;
  if (seen_.size() == blocks_) seen_.pop_front();
  seen_.push_back(std::move(seen));
}

const CopyWindow::Seen* CopyWindow::find(PageRef block) const {
  const auto at = std::lower_bound(seen_.begin(), seen_.end(), block, [](const Seen& seen, PageRef wanted) { return seen.block < wanted; });
  return at != seen_.end() && at->block == block ? &*at : nullptr;
}

}  // namespace snap

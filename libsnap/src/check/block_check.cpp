// SPDX-License-Identifier: Apache-2.0
#include "check/block_check.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "base/fail.h"
#include "base/threads.h"
#include "codec/checksum.h"

namespace snap {

namespace {

struct Worker {
  Decompressor decompressor;
  Bytes payload;
};

Result<void> decode(CheckedBlock& block, const Header& header, Worker& worker) {
  SNAP_TRY_ASSIGN(view, parse_block(block.record, block.body, header));
  worker.payload.resize(std::max(worker.payload.size(), view.payload_bytes()));
  const auto payload = std::span(worker.payload).first(view.payload_bytes());
  if (!payload.empty() && !worker.decompressor.decompress(view.codec(), view.payload(), payload)) {
    return corrupt(block.record.offset, "a block does not decode to its pages", block.record.number);
  }
  std::vector<const std::byte*> raw(view.raw_pages());
  for (std::size_t i = 0; i < raw.size(); ++i) raw[i] = payload.data() + i * kPageBytes;
  std::vector<Digest> digests(raw.size());
  page_digests(raw, digests.data());

  block.kinds.resize(view.pages());
  block.digests.assign(header.block_pages(), zero_digest(0));
  for (std::uint32_t page = 0, next_raw = 0, next_copy = 0; page < view.pages(); ++page) {
    block.kinds[page] = view.kind(page);
    if (view.kind(page) == wire::kRaw) {
      block.digests[page] = digests[next_raw++];
      if (block.digests[page] == zero_digest(0)) return corrupt(block.record.offset, "a raw page that is all zero", page);
    }
    if (view.kind(page) == wire::kCopy) block.sources.push_back(view.copy(next_copy++));
  }
  if (block.kinds.back() == wire::kRaw) block.last_page.assign(raw.back(), raw.back() + kPageBytes);
  return {};
}

void decode_guarded(CheckedBlock& block, const Header& header, Worker& worker) {
  if (block.error.code != Code::kOk) return;
  try {
    if (auto result = decode(block, header, worker); !result) block.error = result.error();
  } catch (const std::bad_alloc&) {
    block.error = fail(Code::kNoMemory, "out of memory", block.record.offset);
  }
}

}  // namespace

void decode_blocks(std::vector<CheckedBlock>& batch, const Header& header, unsigned threads) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    Worker worker;
    for (std::size_t i = next++; i < batch.size(); i = next++) decode_guarded(batch[i], header, worker);
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

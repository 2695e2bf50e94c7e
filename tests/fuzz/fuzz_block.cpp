// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a BLOCK record. The first 16 bytes say which record it is.
#include "fuzz/judge.h"
#include "read/image.h"

using namespace snap;
using namespace snap::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 16) return 0;
  Header header;
  header.block_log2 = 14 + data[0] % 9;
  Record record{.offset = 1000, .type = wire::kBlock};
  record.codec = data[1];
  record.region = data[2];
  record.aux = static_cast<std::uint32_t>(data[3] | data[4] << 8);
  std::memcpy(&record.number, data + 8, sizeof record.number);
  const std::span body(reinterpret_cast<const std::byte*>(data) + 16, size - 16);
  record.body_bytes = static_cast<std::uint32_t>(body.size());
  if ((data[7] & 1) != 0) header.set_parent_depth(1);
  const auto view = parse_block(record, body, header);
  if (!view) return 0;
  demand(view->pages() == record.aux && view->stored_pages() + view->copy_count() <= view->pages(), "counts that do not fit");
  Bytes out(std::size_t{view->pages()} * kPage, std::byte{0xEE});
  Scratch scratch;
  std::vector<PendingCopy> pending;
  if (!decode_block(record, *view, header, out, view->needs_parent() ? Target::kParent : Target::kAnything, scratch, pending)) return 0;
  demand(pending.size() <= view->copy_count(), "more copies than the block has");
  const bool own = std::any_of(pending.begin(), pending.end(), [](const PendingCopy& copy) { return !copy.source.of_parent; });
  demand(!own || view->source_block().has_value(), "copies from no block");
  for (std::uint32_t page = 0; page < view->pages(); ++page) {
    const auto bytes = std::span(out).subspan(std::size_t{page} * kPage, kPage);
    demand(view->kind(page) != wire::kZero || std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }), "a zero page that is not");
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a BLOCK record. The first 16 bytes say which record it is, and whether it is a child's.
#include "fuzz/fixed_parent.h"
#include "read/delta_block.h"
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
  std::optional<ParentLink> link;
  if (header.has_parent()) {
    link.emplace(fixed_parent());
    // Of the parent's memory, of its state, or of nothing there.
    for (unsigned region = 0; region <= record.region; ++region) {
      const unsigned which = (data[7] >> 1) % 4;
      link->add_region({which == 1 ? RegionKind::kState : RegionKind::kMemory, which == 1 ? "dev" : which == 2 ? "x" : "ram", kUnknownSize, 12, {}},
                       which == 3 ? data[6] * std::uint64_t{300} : kUnknownSize);
    }
    const std::uint64_t offset = record.number << header.block_log2;
    if (offset > format::kMaxRegionBytes || record.number > format::kMaxRegionBytes >> header.block_log2) return 0;
    demand(link->read(record.region, offset, out, {}).has_value(), "a parent that cannot be read");
  }
  const Bytes base = out;
  const auto decoded = decode_block(record, *view, header, out, link ? Target::kParent : Target::kAnything, scratch, pending, link ? &*link : nullptr);
  if (link) {
    BlockMemory memory(header.block_bytes());
    DeltaBlock delta(record, *view, memory);
    for (std::uint32_t page = 0; page < view->pages(); ++page) {
      if (!BlockView::is_stored(view->kind(page))) continue;
      const auto stored = delta.stored(page, scratch, [&](std::span<const std::uint64_t> named, std::span<std::byte> to) {
        return link->read_dictionary(record.region, record.number << header.block_log2, named, {}, to, {});
      });
      demand(stored.has_value() == decoded.has_value(), "a block that decodes in one way only");
      if (!stored) break;
      Bytes expected(*stored, *stored + kPage);
      if (view->kind(page) == wire::kXor) xor_page(expected.data(), base.data() + std::size_t{page} * kPage);
      demand(std::equal(expected.begin(), expected.end(), out.begin() + static_cast<std::ptrdiff_t>(page * kPage)), "a block that decodes to two things");
    }
  }
  if (!decoded) return 0;
  demand(pending.size() <= view->copy_count(), "more copies than the block has");
  const bool own = std::any_of(pending.begin(), pending.end(), [](const PendingCopy& copy) { return !copy.source.of_parent; });
  demand(!own || view->source_block().has_value(), "copies from no block");
  for (std::uint32_t page = 0; page < view->pages(); ++page) {
    const auto bytes = std::span(out).subspan(std::size_t{page} * kPage, kPage);
    demand(view->kind(page) != wire::kSame || std::equal(bytes.begin(), bytes.end(), base.begin() + static_cast<std::ptrdiff_t>(page * kPage)), "the parent's page was changed");
    demand(view->kind(page) != wire::kZero || std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }), "a zero page that is not");
  }
  return 0;
}

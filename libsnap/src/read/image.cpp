// SPDX-License-Identifier: Apache-2.0
#include "read/image.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"

namespace snap {

ScratchPool::Lease ScratchPool::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto scratch = std::move(free_.back());
      free_.pop_back();
      return {*this, std::move(scratch)};
    }
  }
  return {*this, std::make_unique<Scratch>()};
}

void ScratchPool::give_back(std::unique_ptr<Scratch> scratch) {
  constexpr std::size_t kMostKept = 3u << 20;
  if (scratch->record.capacity() + scratch->payload.capacity() + scratch->dictionary.capacity() > kMostKept) return;
  const std::lock_guard lock(mutex_);
  try {
    free_.push_back(std::move(scratch));
  } catch (...) {
    // No memory to keep it: it is freed.
  }
}

namespace {

std::uint32_t first_stored(const BlockView& view) {
  std::uint32_t page = 0;
  while (!BlockView::is_stored(view.kind(page))) ++page;
  return page;
}

bool is_one_raw_run(const BlockView& view, std::uint32_t first) {
  if (view.pages() - first < view.stored_pages()) return false;
  for (std::uint32_t i = 0; i < view.stored_pages(); ++i) {
    if (view.kind(first + i) != wire::kRaw) return false;
  }
  return true;
}

// The raw pages, decoded side by side from page `first` on, go to their places; the last first, as none lies before where it is.
void spread(const BlockView& view, std::uint32_t first, std::byte* out) {
  std::uint32_t packed = first + view.stored_pages();
  for (std::uint32_t page = view.pages(); page > packed;) {
    if (view.kind(--page) != wire::kRaw) continue;
    std::memcpy(out + std::size_t{page} * kPageBytes, out + std::size_t{--packed} * kPageBytes, kPageBytes);
  }
}

void scatter(const BlockView& view, const std::byte* from, std::byte* out) {
  for (std::uint32_t page = 0; page < view.pages(); ++page) {
    if (!BlockView::is_stored(view.kind(page))) continue;
    std::byte* const to = out + std::size_t{page} * kPageBytes;
    if (view.kind(page) == wire::kXor) {
      xor_page(to, from);
    } else {
      std::memcpy(to, from, kPageBytes);
    }
    from += kPageBytes;
  }
}

Result<std::span<const std::byte>> dictionary_of(const Record& record, const BlockView& view, const Header& header, std::span<const std::byte> own,
                                                 Scratch& scratch, const ParentLink* link, const ReadTask& task) {
  if (view.named_count() == 0) return own;
  if (link == nullptr) return invalid("a dictionary of the parent's pages without the parent", record.number);
  scratch.dictionary.resize(std::max(scratch.dictionary.size(), view.dictionary_bytes()));
  const auto out = std::span(scratch.dictionary).first(view.dictionary_bytes());
  SNAP_TRY(link->read_dictionary(record.region, record.number << header.block_log2, named_pages(view), own, out, task));
  return std::span<const std::byte>(out);
}

// Straight to where the pages belong as far as that goes, without touching those that are not stored where something stands there.
Result<void> decode_stored(const Record& record, const BlockView& view, const Header& header, std::span<std::byte> out, Target target,
                           Scratch& scratch, const ParentLink* link, const ReadTask& task) {
  if (view.stored_pages() == 0) return {};
  const std::uint32_t first = first_stored(view);
  const bool apart = view.over_parent() || (target != Target::kAnything && !is_one_raw_run(view, first));
  if (apart) scratch.payload.resize(std::max(scratch.payload.size(), view.payload_bytes()));
  const auto to = apart ? std::span(scratch.payload).first(view.payload_bytes())
                        : out.subspan(std::size_t{first} * kPageBytes, view.payload_bytes());
  std::span<const std::byte> dictionary;
  if (view.over_parent()) {
    SNAP_TRY_ASSIGN(found, dictionary_of(record, view, header, out, scratch, link, task));
    dictionary = found;
  }
  if (!scratch.decompressor.decompress(view.codec(), view.payload(), to, dictionary)) {
    return corrupt(record.offset, "a block does not decode to its pages", record.number);
  }
  if (apart) {
    scatter(view, scratch.payload.data(), out.data());
  } else {
    spread(view, first, out.data());
  }
  return {};
}

}  // namespace

std::vector<std::uint64_t> named_pages(const BlockView& view) {
  std::vector<std::uint64_t> numbers(view.named_count());
  for (std::uint32_t i = 0; i < view.named_count(); ++i) numbers[i] = view.named(i);
  return numbers;
}

Result<void> decode_block(const Record& record, const BlockView& view, const Header& header, std::span<std::byte> out, Target target,
                          Scratch& scratch, std::vector<PendingCopy>& pending, const ParentLink* link, const ReadTask& task) {
  SNAP_TRY(decode_stored(record, view, header, out, target, scratch, link, task));
  const std::uint64_t first_page = record.number * header.block_pages();
  std::uint32_t next_copy = 0;
  for (std::uint32_t page = 0; page < view.pages(); ++page) {
    std::byte* const to = out.data() + std::size_t{page} * kPageBytes;
    if (view.kind(page) == wire::kZero && target != Target::kZeros) std::memset(to, 0, kPageBytes);
    if (view.kind(page) != wire::kCopy) continue;
    const CopyRef source = view.copy(next_copy++);
    if (!source.of_parent && source.page.region == record.region && source.page.page >= first_page) {
      std::memcpy(to, out.data() + (source.page.page - first_page) * kPageBytes, kPageBytes);
    } else {
      pending.push_back({page, source});
    }
  }
  return {};
}

Result<void> verify_filling(std::span<const std::byte> block, std::uint64_t offset, std::uint64_t region_bytes, std::uint64_t at) {
  if (region_bytes < offset || region_bytes - offset >= block.size()) return {};
  if (!is_zero(block.subspan(static_cast<std::size_t>(region_bytes - offset)))) return corrupt(at, "bytes past the end of a region are not zero");
  return {};
}

Result<std::unique_ptr<Image>> Image::open(RandomSource& source, std::size_t node_cache_bytes) {
  std::unique_ptr<Image> image(new Image(source, node_cache_bytes));
  SNAP_TRY(image->load_front());
  SNAP_TRY(image->load_catalog());
  return image;
}

Result<void> Image::load_front() {
  SNAP_TRY_ASSIGN(size, source_.size());
  Bytes start(kHeaderStart);
  SNAP_TRY_ASSIGN(got, source_.read_at(0, start));
  start.resize(got);
  SNAP_TRY_ASSIGN(length, header_length(start));
  start.resize(length);
  if (length > got) SNAP_TRY(read_exact(source_, got, std::span(start).subspan(got), "the file ends inside its header"));
  SNAP_TRY_ASSIGN(header, parse_header(start));
  header_ = std::move(header);

  if (size < length + kTrailerBytes) return truncated(size, "the file has no trailer: it is incomplete");
  Bytes end(kTrailerBytes);
  SNAP_TRY(read_exact(source_, size - kTrailerBytes, end, "the file became shorter"));
  SNAP_TRY_ASSIGN(trailer, parse_trailer(end, size));
  trailer_ = trailer;
  if (trailer_.header_check != header_.check) return corrupt(size - kTrailerBytes, "the trailer belongs to another header");
  if (trailer_.catalog.offset < length) return corrupt(size - kTrailerBytes, "the catalog lies in the header");
  return {};
}

Result<void> Image::load_catalog() {
  if (trailer_.catalog.record_bytes > sizeof(wire::RecordHead) + format::kMaxCatalogBody) {
    return corrupt(trailer_.catalog.offset, "the catalog is over its limit");
  }
  Bytes bytes(trailer_.catalog.record_bytes);
  SNAP_TRY(read_exact(source_, trailer_.catalog.offset, bytes, "the file became shorter"));
  SNAP_TRY_ASSIGN(record, parse_referenced(trailer_.catalog, bytes, wire::kCatalog, 0, 0));
  SNAP_TRY_ASSIGN(catalog, parse_catalog(std::span(bytes).subspan(sizeof(wire::RecordHead)), record.offset, header_));
  catalog_ = std::move(catalog);
  return {};
}

std::uint32_t Image::pages_of(std::size_t region, std::uint64_t block) const {
  const std::uint64_t left = page_count(size(region)) - block * header_.block_pages();
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(left, header_.block_pages()));
}

Result<Image::Node> Image::load_node(std::size_t region, unsigned level, std::uint64_t number, const RecordRef& ref) {
  if (ref.record_bytes > sizeof(wire::RecordHead) + wire::kNodeBitmapBytes + format::kNodeChildren * sizeof(wire::NodeEntry)) {
    return corrupt(ref.offset, "an index node is over its limit");
  }
  Bytes bytes(ref.record_bytes);
  SNAP_TRY(read_exact(source_, ref.offset, bytes, "the file became shorter"));
  SNAP_TRY_ASSIGN(record, parse_referenced(ref, bytes, wire::kNode, region, number));
  if (record.aux != level) return corrupt(ref.offset, "an index node of another level");
  SNAP_TRY_ASSIGN(parsed, parse_node(record, std::span(bytes).subspan(sizeof(wire::RecordHead))));
  return std::make_shared<IndexNode>(std::move(parsed));
}

Result<Image::Node> Image::node(std::size_t region, unsigned level, std::uint64_t number) {
  const RecordRef& root = catalog_.regions[region].close.root;
  if (!has_index(root)) return Node();
  const unsigned top = root_level(blocks(region));
  // Node numbers of all levels share a key space: 52 bits hold any, 12 the region; levels differ in their lower bits' use.
  const std::uint64_t key = std::uint64_t{region} << 52 | std::uint64_t{level} << 48 | number;
  if (Node cached = nodes_.peek(key)) return cached;
  RecordRef ref = root;
  if (level != top) {
    SNAP_TRY_ASSIGN(above, node(region, level + 1, number >> format::kNodeLog2));
    const IndexEntry* entry = above == nullptr ? nullptr : above->find(static_cast<unsigned>(number % format::kNodeChildren));
    if (entry == nullptr) return Node();
    ref = entry->record;
  }
  return nodes_.get(key, [&] { return load_node(region, level, number, ref); });
}

Result<std::optional<IndexEntry>> Image::find(std::size_t region, std::uint64_t block) { return find_at(region, 0, block); }

Result<std::optional<IndexEntry>> Image::find_at(std::size_t region, unsigned level, std::uint64_t number) {
  if (level > root_level(blocks(region))) return std::optional<IndexEntry>();
  SNAP_TRY_ASSIGN(over, node(region, level, number >> format::kNodeLog2));
  const IndexEntry* entry = over == nullptr ? nullptr : over->find(static_cast<unsigned>(number % format::kNodeChildren));
  return entry == nullptr ? std::optional<IndexEntry>() : std::optional(*entry);
}

Result<std::uint64_t> Image::next_present(std::size_t region, std::uint64_t block) {
  const std::uint64_t end = blocks(region);
  const unsigned top = root_level(end);
  unsigned level = 0;
  while (block < end) {
    const unsigned shift = format::kNodeLog2 * level;
    const std::uint64_t child = block >> shift;
    SNAP_TRY_ASSIGN(over, node(region, level, child >> format::kNodeLog2));
    if (over == nullptr) {  // nothing below here: the node above says how far
      if (level == top) return end;
      ++level;
      continue;
    }
    std::uint64_t next = child;
    const std::uint64_t last = child | (format::kNodeChildren - 1);
    while (next <= last && over->find(static_cast<unsigned>(next % format::kNodeChildren)) == nullptr) ++next;
    if (next != child) block = next << shift;
    if (next > last) continue;
    if (level == 0) return block;
    --level;
  }
  return end;
}

Result<BlockView> Image::view(const RecordRef& ref, std::size_t region, std::uint64_t block, std::span<const std::byte> bytes,
                              Record& record) const {
  SNAP_TRY_ASSIGN(parsed, parse_referenced(ref, bytes, wire::kBlock, region, block));
  record = parsed;
  if (record.aux != pages_of(region, block)) return corrupt(ref.offset, "a block has another number of pages than its region", block);
  return parse_block(record, bytes.subspan(sizeof(wire::RecordHead)), header_);
}

Result<BlockView> Image::fetch(const RecordRef& ref, std::size_t region, std::uint64_t block, Scratch& scratch, Record& record) const {
  if (ref.record_bytes > sizeof(wire::RecordHead) + format::kMaxBodyBytes) return corrupt(ref.offset, "a record is over its limit");
  scratch.record.resize(std::max<std::size_t>(scratch.record.size(), ref.record_bytes));
  const auto bytes = std::span(scratch.record).first(ref.record_bytes);
  SNAP_TRY(read_exact(source_, ref.offset, bytes, "the file became shorter"));
  return view(ref, region, block, bytes, record);
}

}  // namespace snap

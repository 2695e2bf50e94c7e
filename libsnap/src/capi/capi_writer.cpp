// SPDX-License-Identifier: Apache-2.0
// The C interface: writing. What each function promises is in snap.h.
#include "capi/image.h"
#include "capi/translate.h"
#include "snap/writer.h"

using namespace snap;
using snap::capi::guarded;
using snap::capi::invalid;

struct snap_writer {
  std::unique_ptr<ByteSink> sink;
  std::unique_ptr<Writer> writer;
};

static_assert(SNAP_CODEC_STORE == static_cast<int>(Codec::kStore) && SNAP_CODEC_LZ4 == static_cast<int>(Codec::kLz4) &&
              SNAP_CODEC_ZSTD == static_cast<int>(Codec::kZstd) && SNAP_LEVEL_DEFAULT == WriterOptions::kDefaultLevel);

struct snap_parent_pages {
  std::unique_ptr<ParentPages> pages;
};

int32_t snap_index_parent(snap_image* parent, const struct snap_restore_options* options, snap_parent_pages** pages,
                          struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!parent || !pages) return invalid("no parent, or no place for its pages");
    *pages = nullptr;
    const auto own = capi::restore_options(options);
    if (!own) return own.error();
    auto indexed = ParentPages::index(*parent->reader, {.threads = own->threads, .progress = own->progress, .cancel = own->cancel});
    if (!indexed) return indexed.error();
    *pages = new snap_parent_pages{std::move(*indexed)};
    return {};
  });
}

void snap_free_parent_pages(snap_parent_pages* pages) { delete pages; }

namespace {

Result<void> create(Result<std::unique_ptr<ByteSink>> sink, const snap_writer_options* options, snap_writer** writer) {
  if (!sink) return sink.error();
  snap_writer_options own = SNAP_WRITER_OPTIONS_INIT;
  if (auto ok = capi::take(own, options, offsetof(snap_writer_options, parent)); !ok) return ok;
  if (own.reserved != 0) return invalid("a reserved field is set");
  if (own.codec > 0xff) return invalid("no such codec");
  auto created = std::make_unique<snap_writer>();
  created->sink = std::move(*sink);
  auto inner = Writer::create(*created->sink, {.block_bytes = own.block_size,
                                               .codec = static_cast<Codec>(own.codec),
                                               .level = own.level,
                                               .dedup = own.dedup != 0,
                                               .threads = own.threads,
                                               .spool_dir_fd = own.spool_dir_fd,
                                               .parent = own.parent != nullptr ? own.parent->reader.get() : nullptr,
                                               .parent_hint = own.parent_hint != nullptr ? own.parent_hint : "",
                                               .parent_pages = own.parent_pages != nullptr ? own.parent_pages->pages.get() : nullptr});
  if (!inner) return inner.error();
  created->writer = std::move(*inner);
  *writer = created.release();
  return {};
}

std::span<const std::byte> bytes_of(const void* data, std::size_t length) {
  return {static_cast<const std::byte*>(data), length};
}

}  // namespace

int32_t snap_create_writer_fd(int fd, const struct snap_writer_options* options, snap_writer** writer, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer) return invalid("no place for the writer");
    *writer = nullptr;
    return create(stream_sink(fd), options, writer);
  });
}

int32_t snap_create_writer_sink(const struct snap_sink* sink, const struct snap_writer_options* options, snap_writer** writer,
                                struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer) return invalid("no place for the writer");
    *writer = nullptr;
    return create(capi::make_sink(sink), options, writer);
  });
}

void snap_free_writer(snap_writer* writer) { delete writer; }

int32_t snap_set_metadata(snap_writer* writer, const char* key, const char* value, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer || !key || !value) return invalid("an argument is missing");
    return writer->writer->set_metadata(key, value);
  });
}

int32_t snap_begin_region(snap_writer* writer, const struct snap_region* info, uint32_t order, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer || !info) return invalid("an argument is missing");
    snap_region own = SNAP_REGION_INIT;
    if (auto ok = capi::take(own, info); !ok) return ok;
    if (!own.name || (!own.placements && own.placement_count != 0)) return invalid("an argument is missing");
    if (own.kind > 0xff) return invalid("no such kind of region");
    if (order > SNAP_ANY_ORDER) return invalid("no such order");
    RegionInfo region{.kind = static_cast<RegionKind>(own.kind),
                      .name = own.name,
                      .size = own.size,
                      .guest_page_log2 = own.guest_page_log2,
                      .placements = {}};
    for (const snap_placement& each : std::span(own.placements, own.placement_count)) {
      region.placements.push_back({each.guest_address, each.offset, each.length});
    }
    return writer->writer->begin_region(region, order == SNAP_ANY_ORDER ? PageOrder::kAnyOrder : PageOrder::kAscending);
  });
}

int32_t snap_write_bytes(snap_writer* writer, const void* bytes, size_t length, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer || (!bytes && length != 0)) return invalid("an argument is missing");
    return writer->writer->write(bytes_of(bytes, length));
  });
}

int32_t snap_skip_bytes(snap_writer* writer, uint64_t length, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer) return invalid("no writer");
    return writer->writer->skip(length);
  });
}

int32_t snap_write_bytes_at(snap_writer* writer, uint64_t offset, const void* bytes, size_t length, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer || (!bytes && length != 0)) return invalid("an argument is missing");
    return writer->writer->write_at(offset, bytes_of(bytes, length));
  });
}

int32_t snap_end_region(snap_writer* writer, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer) return invalid("no writer");
    return writer->writer->end_region();
  });
}

int32_t snap_finish_writer(snap_writer* writer, struct snap_digest* digest, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!writer) return invalid("no writer");
    auto named = writer->writer->finish();
    if (!named) return named.error();
    if (digest) std::memcpy(digest->bytes, named->bytes.data(), sizeof digest->bytes);
    return {};
  });
}

// SPDX-License-Identifier: Apache-2.0
// The C interface: codes, jobs, and reading an image. What each function promises is in snap.h.
#include <limits>
#include <string_view>
#include <vector>

#include "capi/image.h"
#include "capi/translate.h"
#include "snap/reader.h"
#include "snap/restore.h"

using namespace snap;
using snap::capi::bytes_of;
using snap::capi::guarded;
using snap::capi::has_region;
using snap::capi::invalid;
using snap::capi::no_region;

static_assert(SNAP_OK == static_cast<int>(Code::kOk) && SNAP_E_TRUNCATED == static_cast<int>(Code::kTruncated) &&
              SNAP_E_CORRUPT == static_cast<int>(Code::kCorrupt) && SNAP_E_UNSUPPORTED == static_cast<int>(Code::kUnsupported) &&
              SNAP_E_LIMIT == static_cast<int>(Code::kLimit) &&
              SNAP_E_PARENT_MISMATCH == static_cast<int>(Code::kParentMismatch) && SNAP_E_IO == static_cast<int>(Code::kIo) &&
              SNAP_E_NO_MEMORY == static_cast<int>(Code::kNoMemory) &&
              SNAP_E_INVALID_ARGUMENT == static_cast<int>(Code::kInvalidArgument) &&
              SNAP_E_NOT_FOUND == static_cast<int>(Code::kNotFound) && SNAP_E_CANCELLED == static_cast<int>(Code::kCancelled));
static_assert(SNAP_REGION_MEMORY == static_cast<int>(RegionKind::kMemory) &&
              SNAP_REGION_STATE == static_cast<int>(RegionKind::kState) && SNAP_UNKNOWN_SIZE == kUnknownSize &&
              SNAP_PAGE_SIZE == kPageBytes);
static_assert(std::atomic<bool>::is_always_lock_free, "snap_cancel_job() is promised to signal handlers");

const char* snap_name_code(int32_t code) {
  const char* name = code_name(static_cast<Code>(code));
  return name ? name : "unknown";
}

const char* snap_get_version(void) { return SNAP_VERSION; }

snap_job* snap_new_job(void) { return new (std::nothrow) snap_job; }
void snap_free_job(snap_job* job) { delete job; }
uint64_t snap_get_progress(const snap_job* job) { return job ? job->progress.load(std::memory_order_relaxed) : 0; }
void snap_cancel_job(snap_job* job) {
  if (job) job->cancel.store(true);
}

namespace {

Result<void> open_image(Result<std::unique_ptr<RandomSource>> source, const snap_open_options& options, snap_image** image) {
  if (!source) return source.error();
  auto opened = std::make_unique<snap_image>();
  opened->source = std::move(*source);
  if (options.cache_bytes > std::numeric_limits<std::size_t>::max()) return invalid("cache_bytes is beyond the address space");
  Reader* const parent = options.parent != nullptr ? options.parent->reader.get() : nullptr;
  auto reader = Reader::open(*opened->source, {.cache_bytes = static_cast<std::size_t>(options.cache_bytes), .parent = parent});
  if (!reader) return reader.error();
  opened->reader = std::move(*reader);
  opened->list_placements();
  *image = opened.release();
  return {};
}

}  // namespace

int32_t snap_open_image_fd(int fd, const struct snap_open_options* options, snap_image** image, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image) return invalid("no place for the image");
    *image = nullptr;
    snap_open_options own = SNAP_OPEN_OPTIONS_INIT;
    if (auto ok = capi::take(own, options, offsetof(snap_open_options, parent)); !ok) return ok;
    return open_image(own.use_io_uring ? uring_source(fd) : file_source(fd), own, image);
  });
}

int32_t snap_open_image_source(const struct snap_source* source, const struct snap_open_options* options, snap_image** image,
                               struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image) return invalid("no place for the image");
    *image = nullptr;
    snap_open_options own = SNAP_OPEN_OPTIONS_INIT;
    if (auto ok = capi::take(own, options, offsetof(snap_open_options, parent)); !ok) return ok;
    return open_image(capi::make_source(source), own, image);
  });
}

void snap_close_image(snap_image* image) { delete image; }

uint32_t snap_count_regions(const snap_image* image) {
  return image ? static_cast<std::uint32_t>(image->reader->regions().size()) : 0;
}

int32_t snap_get_region(const snap_image* image, uint32_t region, struct snap_region* info, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image) return invalid("no image");
    if (!has_region(*image, region)) return no_region();
    const RegionInfo& found = image->reader->regions()[region];
    const std::vector<snap_placement>& placements = image->placements[region];
    snap_region out = SNAP_REGION_INIT;
    out.kind = static_cast<std::uint32_t>(found.kind);
    out.guest_page_log2 = found.guest_page_log2;
    out.placement_count = static_cast<std::uint32_t>(placements.size());
    out.placements = placements.data();
    out.name = found.name.c_str();
    out.size = found.size;
    return capi::give(info, out);
  });
}

int32_t snap_find_region(const snap_image* image, uint32_t kind, const char* name, uint32_t* region, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || !name || !region) return invalid("an argument is missing");
    std::optional<std::size_t> found;
    if (kind <= 0xff) found = image->reader->find(static_cast<RegionKind>(kind), name);
    if (!found) return Error{.code = Code::kNotFound, .what = "no region of that kind and name"};
    *region = static_cast<std::uint32_t>(*found);
    return {};
  });
}

const char* snap_get_metadata(const snap_image* image, const char* key) {
  if (!image || !key) return nullptr;
  for (const auto& [each, value] : image->reader->metadata()) {  // find() would allocate, and could fail
    if (each == key) return value.c_str();
  }
  return nullptr;
}

int snap_visit_metadata(const snap_image* image, int (*visit)(void* opaque, const char* key, const char* value), void* opaque) {
  if (!image || !visit) return 0;
  for (const auto& [key, value] : image->reader->metadata()) {
    if (const int answer = visit(opaque, key.c_str(), value.c_str())) return answer;
  }
  return 0;
}

void snap_get_digest(const snap_image* image, struct snap_digest* digest) {
  if (image && digest) std::memcpy(digest->bytes, image->reader->digest().bytes.data(), sizeof digest->bytes);
}

int32_t snap_get_region_digest(const snap_image* image, uint32_t region, struct snap_digest* digest, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || !digest) return invalid("an argument is missing");
    if (!has_region(*image, region)) return no_region();
    std::memcpy(digest->bytes, image->reader->region_digest(region).bytes.data(), sizeof digest->bytes);
    return {};
  });
}

uint32_t snap_get_block_size(const snap_image* image) { return image ? image->reader->block_bytes() : 0; }
uint64_t snap_get_file_size(const snap_image* image) { return image ? image->reader->file_bytes() : 0; }

int32_t snap_read_region(snap_image* image, uint32_t region, uint64_t offset, void* buffer, size_t length,
                         struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || (!buffer && length != 0)) return invalid("an argument is missing");
    if (!has_region(*image, region)) return no_region();
    return image->reader->read(region, offset, bytes_of(buffer, length));
  });
}

int32_t snap_read_batch(snap_image* image, const struct snap_read* reads, size_t count, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || (!reads && count != 0)) return invalid("an argument is missing");
    std::vector<RegionRead> batch;
    batch.reserve(count);
    for (const snap_read& each : std::span(reads, count)) {
      if (each.reserved != 0) return invalid("a reserved field is set");
      if (!each.buffer && each.length != 0) return invalid("an argument is missing");
      if (!has_region(*image, each.region)) return no_region();
      batch.push_back({each.region, each.offset, bytes_of(each.buffer, each.length)});
    }
    return image->reader->read_batch(batch);
  });
}

int32_t snap_get_extent(snap_image* image, uint32_t region, uint64_t offset, struct snap_extent* extent,
                        struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || !extent) return invalid("an argument is missing");
    if (!has_region(*image, region)) return no_region();
    auto found = image->reader->extent(region, offset);
    if (!found) return found.error();
    *extent = {found->offset, found->length, found->data ? 1u : 0u, 0};
    return {};
  });
}

int32_t snap_restore_memory(snap_image* image, uint32_t region, void* memory, size_t length,
                            const struct snap_restore_options* options, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || (!memory && length != 0)) return invalid("an argument is missing");
    if (!has_region(*image, region)) return no_region();
    auto own = capi::restore_options(options);
    if (!own) return own.error();
    return restore_to_memory(*image->reader, region, bytes_of(memory, length), *own);
  });
}

int32_t snap_restore_fd(snap_image* image, uint32_t region, int fd, uint64_t file_offset,
                        const struct snap_restore_options* options, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image) return invalid("no image");
    if (!has_region(*image, region)) return no_region();
    auto own = capi::restore_options(options);
    if (!own) return own.error();
    return restore_to_file(*image->reader, region, fd, file_offset, *own);
  });
}

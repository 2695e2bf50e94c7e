// SPDX-License-Identifier: Apache-2.0
// The C interface: parents and what differs from them. What each function promises is in snap.h.
#include "capi/image.h"
#include "capi/translate.h"

using namespace snap;
using snap::capi::bytes_of;
using snap::capi::guarded;
using snap::capi::has_region;
using snap::capi::invalid;
using snap::capi::no_region;

Result<RestoreOptions> snap::capi::restore_options(const snap_restore_options* options) {
  snap_restore_options own = SNAP_RESTORE_OPTIONS_INIT;
  if (auto ok = capi::take(own, options); !ok) return ok.error();
  if (own.reserved != 0) return invalid("a reserved field is set");
  RestoreOptions out;
  out.threads = own.threads;
  out.target_is_zero = own.target_is_zero != 0;
  if (own.job) {
    out.progress = &own.job->progress;
    out.cancel = &own.job->cancel;
  }
  return out;
}

namespace {

Result<void> read_parent(Result<std::unique_ptr<RandomSource>> source, snap_parent* parent) {
  if (!source) return source.error();
  snap_parent out = SNAP_PARENT_INIT;
  if (auto ok = capi::give(parent, out); !ok) return ok;
  const auto info = read_parent_info(**source);
  if (!info) return info.error();
  out.depth = info->depth;
  std::memcpy(out.digest.bytes, info->digest.bytes.data(), sizeof out.digest.bytes);
  if (info->parent) {
    out.has_parent = 1;
    std::memcpy(out.parent.bytes, info->parent->digest.bytes.data(), sizeof out.parent.bytes);
    info->parent->hint.copy(out.hint, sizeof out.hint - 1);
  }
  return capi::give(parent, out);
}

}  // namespace

int32_t snap_read_parent_fd(int fd, struct snap_parent* parent, struct snap_error* error) {
  return guarded(error, [&] { return read_parent(file_source(fd), parent); });
}

int32_t snap_read_parent_source(const struct snap_source* source, struct snap_parent* parent, struct snap_error* error) {
  return guarded(error, [&] { return read_parent(capi::make_source(source), parent); });
}

int32_t snap_apply_changes(snap_image* image, uint32_t region, void* memory, size_t length, const struct snap_restore_options* options,
                           struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || (!memory && length != 0)) return invalid("an argument is missing");
    if (!has_region(*image, region)) return no_region();
    const auto own = capi::restore_options(options);
    if (!own) return own.error();
    return apply_changes(*image->reader, region, bytes_of(memory, length), *own);
  });
}

int32_t snap_hold_image(snap_image* image, const struct snap_restore_options* options, snap_image** held, struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || !held) return invalid("an argument is missing");
    *held = nullptr;
    const auto own = capi::restore_options(options);
    if (!own) return own.error();
    auto reader = hold_in_memory(*image->reader, *own);
    if (!reader) return reader.error();
    auto opened = std::make_unique<snap_image>(snap_image{nullptr, std::move(*reader)});
    opened->list_placements();
    *held = opened.release();
    return {};
  });
}

int snap_get_memory_fd(const snap_image* held, uint32_t region) {
  const auto* reader = held != nullptr ? dynamic_cast<const HeldSnapshot*>(held->reader.get()) : nullptr;
  return reader != nullptr && has_region(*held, region) ? reader->memory_fd(region) : -1;
}

int32_t snap_visit_changes(snap_image* image, uint32_t region,
                           int (*visit)(void* opaque, uint64_t offset, uint64_t length, uint32_t became_zero), void* opaque,
                           struct snap_error* error) {
  return guarded(error, [&]() -> Result<void> {
    if (!image || !visit) return invalid("an argument is missing");
    if (!has_region(*image, region)) return no_region();
    return visit_changes(*image->reader, region, [&](const ChangedRange& range) -> Result<void> {
      if (visit(opaque, range.offset, range.length, range.zero ? 1 : 0) == 0) return {};
      return Error{.code = Code::kCancelled, .what = "the visitor asked to stop"};
    });
  });
}

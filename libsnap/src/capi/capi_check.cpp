// SPDX-License-Identifier: Apache-2.0
// The C interface: checking. What each function promises is in snap.h.
#include "capi/image.h"
#include "capi/translate.h"
#include "snap/check.h"

using namespace snap;
using snap::capi::guarded;

static_assert(SNAP_DAMAGE_HEADER == static_cast<int>(DamageKind::kHeader) &&
              SNAP_DAMAGE_RECORD == static_cast<int>(DamageKind::kRecord) &&
              SNAP_DAMAGE_BLOCK == static_cast<int>(DamageKind::kBlock) &&
              SNAP_DAMAGE_INDEX == static_cast<int>(DamageKind::kIndex) &&
              SNAP_DAMAGE_TRAILER == static_cast<int>(DamageKind::kTrailer) &&
              SNAP_DAMAGE_GAP == static_cast<int>(DamageKind::kGap) &&
              SNAP_DAMAGE_CONTENT == static_cast<int>(DamageKind::kContent) &&
              SNAP_DAMAGE_PARENT == static_cast<int>(DamageKind::kParent));

namespace {

constexpr std::size_t kFirstResultBytes = offsetof(snap_check_result, content_compared);

Result<void> check_source(Result<std::unique_ptr<RandomSource>> source, const snap_check_options* options,
                          snap_check_result* result) {
  if (!source) return source.error();
  snap_check_options own = SNAP_CHECK_OPTIONS_INIT;
  if (auto ok = capi::take(own, options, offsetof(snap_check_options, parent)); !ok) return ok;
  snap_check_result out = SNAP_CHECK_RESULT_INIT;
  if (auto ok = capi::give(result, out, kFirstResultBytes); !ok) return ok;  // before the work: a result that has no place is the caller's mistake

  CheckOptions inner;
  inner.threads = own.threads;
  if (own.parent != nullptr) inner.parent = own.parent->reader.get();
  if (own.job) {
    inner.progress = &own.job->progress;
    inner.cancel = &own.job->cancel;
  }
  auto report = check(**source, inner);
  if (!report) return report.error();

  if (own.on_damage) {
    for (const Damage& each : report->damages) {
      snap_error damage;
      capi::fill(damage, each.error);
      own.on_damage(own.opaque, static_cast<std::uint32_t>(each.kind), &damage);
    }
  }
  if (own.on_lost) {
    for (const LostRange& each : report->lost) own.on_lost(own.opaque, each.region.c_str(), each.offset, each.length);
  }
  out.complete = report->complete ? 1 : 0;
  out.repairable = report->repairable ? 1 : 0;
  out.content_compared = report->content_compared ? 1 : 0;
  out.region_count = static_cast<std::uint32_t>(report->regions.size());
  out.damage_count = report->damage_count;
  out.lost_bytes = report->lost_bytes;
  out.file_bytes = report->file_bytes;
  out.blocks_checked = report->blocks_checked;
  std::memcpy(out.digest.bytes, report->digest.bytes.data(), sizeof out.digest.bytes);
  return capi::give(result, out, kFirstResultBytes);
}

}  // namespace

int32_t snap_check_fd(int fd, const struct snap_check_options* options, struct snap_check_result* result,
                      struct snap_error* error) {
  return guarded(error, [&] { return check_source(file_source(fd), options, result); });
}

int32_t snap_check_source(const struct snap_source* source, const struct snap_check_options* options,
                          struct snap_check_result* result, struct snap_error* error) {
  return guarded(error, [&] { return check_source(capi::make_source(source), options, result); });
}

// SPDX-License-Identifier: Apache-2.0
// The two ways to a VM state: inside a qcow2 image, or bare.
#include <algorithm>
#include <ctime>

#include "base/fail.h"
#include "vmm/big_endian.h"
#include "vmm/metadata.h"
#include "vmm/qcow2.h"
#include "vmm/qemu_container.h"
#include "vmm/qemu_legacy.h"
#include "vmm/qemu_stream_import.h"

namespace snap {
namespace {

constexpr std::size_t kDetectBytes = 64;
constexpr std::uint64_t kWrap = std::uint64_t{1} << 32;

std::string iso_8601(std::uint64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm utc{};
  char text[32];
  if (gmtime_r(&time, &utc) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) return {};
  return text;
}

Result<void> describe(const Qcow2Snapshot& info, Writer& writer) {
  SNAP_TRY(writer.set_metadata("source.format", format_name(Format::kQcow2)));
  SNAP_TRY(writer.set_metadata("source.snapshot.id", metadata_text(info.id)));
  SNAP_TRY(writer.set_metadata("source.snapshot.name", metadata_text(info.name)));
  return writer.set_metadata("source.time", iso_8601(info.date_sec));
}

/// The size as the container knows it, else as the snapshot table does.
Result<void> settle_size(Qcow2State& state, const Qcow2Entry& entry, StreamSource& stream, std::span<const std::byte> head) {
  const std::uint64_t listed = entry.info.vm_state_bytes;
  if (load_be32(head.data() + 4) == 2) {
    const std::uint64_t total = load_be64(head.data() + 8);
    const std::uint64_t bytes = kContainer2HeaderBytes + total;
    if (bytes < total || bytes > state.capacity()) return truncated(8, "the VM state is larger than the image");
    if (entry.size_is_64_bit ? listed != bytes && listed != bytes % kWrap : listed % kWrap != bytes % kWrap) {
      return corrupt(8, "the VM state's size is not that of the snapshot table", bytes);
    }
    state.set_size(bytes);
    return {};
  }
  if (listed > state.capacity()) return truncated(entry.table_offset, "the VM state is larger than the image");
  if (entry.size_is_64_bit || state.capacity() - listed < kWrap) return {};
  state.set_size(state.capacity());
  stream.set_wrapped_size(static_cast<std::uint32_t>(listed));
  return {};
}

}  // namespace

Result<Imported> import_qcow2(RandomSource& file, Writer& writer, const ImportOptions& options) {
  SNAP_TRY_ASSIGN(image, Qcow2Image::open(file));
  SNAP_TRY_ASSIGN(entries, image.snapshots());
  SNAP_TRY_ASSIGN(entry, choose_qcow2_snapshot(entries, options.snapshot));
  if (entry.info.vm_state_bytes == 0) {
    return fail(Code::kNotFound, "the snapshot is of the disk only, without VM state", entry.table_offset);
  }
  SNAP_TRY_ASSIGN(state, image.vm_state(entry));
  if (entry.info.vm_state_bytes < kContainer2HeaderBytes) return truncated(entry.table_offset, "the VM state ends early");
  std::byte head[kDetectBytes];
  SNAP_TRY_ASSIGN(got, state->read_at(0, head));
  if (got < kContainer2HeaderBytes) return truncated(entry.table_offset, "the VM state ends early");
  // Until December 2008 the entry of every disk of a machine had the size; only the first disk got the data.
  if (is_zero(std::span(head).first(kContainer2HeaderBytes)))
    return fail(Code::kNotFound, "the VM state is not in this image but in that of another disk", entry.table_offset);
  const bool is_today = detect_format(std::span(head).first(got)) == Format::kQemu;
  StreamSource stream(*state, state->capacity(), options);
  SNAP_TRY(settle_size(*state, entry, stream, head));
  SNAP_TRY_ASSIGN(bytes, state->size());
  stream.set_size(bytes);
  SNAP_TRY(describe(entry.info, writer));
  if (is_today) {
    const auto forward = range_stream(*state, 0, entry.info.vm_state_bytes);
    ForwardStream migration(*forward, options);
    return import_qemu_stream(migration, writer, options);
  }
  SNAP_TRY(import_legacy(stream, writer, options));
  return Imported();
}

Result<void> import_vmstate(RandomSource& source, Writer& writer, const ImportOptions& options) {
  SNAP_TRY_ASSIGN(bytes, source.size());
  StreamSource stream(source, bytes, options);
  SNAP_TRY(writer.set_metadata("source.format", format_name(Format::kVmstate)));
  return import_legacy(stream, writer, options);
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "vmm/qemu_frame.h"

#include "base/fail.h"
#include "vmm/big_endian.h"
#include "vmm/metadata.h"
#include "vmm/ram_intake.h"

namespace snap {
namespace {

constexpr std::uint64_t kMaxHeadBytes = 1u << 20;
constexpr std::size_t kMaxBlockName = 255;

Result<std::uint64_t> ram_bytes(const Reader& reader) {
  std::uint64_t total = 0;
  for (const RegionInfo& info : reader.regions()) {
    if (info.kind != RegionKind::kMemory) continue;
    if (info.name.size() > kMaxBlockName || info.size % kPageBytes != 0) return invalid("a memory region that can be no RAM block of QEMU");
    if (info.size > kMaxRamBytes - total) return fail(Code::kLimit, "more memory than 8 TiB", 0, info.size);
    total += info.size;
  }
  return total;
}

}  // namespace

Result<QemuFrame> qemu_frame(Reader& reader) {
  const auto id = metadata_number(reader, kQemuRamSectionKey);
  if (!id || !reader.find(RegionKind::kState, kQemuHeadState) || !reader.find(RegionKind::kState, kQemuDevicesState)) {
    return fail(Code::kNotFound, "the snapshot was not made of a migration stream of QEMU: it has no state of devices");
  }
  SNAP_TRY_ASSIGN(head_bytes, read_state(reader, kQemuHeadState, kMaxHeadBytes));
  SNAP_TRY_ASSIGN(head, parse_qemu_head(head_bytes));
  SNAP_TRY_ASSIGN(bytes, ram_bytes(reader));
  return QemuFrame{std::move(head), *id, bytes};
}

void append_short_text(Bytes& to, std::string_view text) {
  append_be(to, static_cast<std::uint8_t>(text.size()));
  append(to, bytes_of(text));
}

void append_section(Bytes& to, QemuElement type, std::uint32_t id) {
  append_be(to, static_cast<std::uint8_t>(type));
  append_be(to, id);
}

void append_ram_start(Bytes& to, const QemuFrame& frame) {
  append_section(to, kQemuStart, frame.ram_id);
  append_short_text(to, kQemuRamId);
  append_be(to, std::uint32_t{0});
  append_be(to, kQemuRamVersion);
  append_be(to, frame.ram_bytes | kRamMemSize);
}

void append_ram_end(Bytes& to, const QemuFrame& frame) {
  append_be(to, std::uint64_t{kRamEos});
  if (frame.head.has_configuration) append_section(to, kQemuFooter, frame.ram_id);
}

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
#include "vmm/qemu_machine.h"

#include <algorithm>

#include "snap/import.h"

namespace snap {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kKvmExtraBytes = 0x3000;
constexpr std::uint64_t kLowLimit = 0xe0000000;  // RAM from here on is seen at 4 GiB
constexpr std::uint64_t kHighAddress = std::uint64_t{1} << 32;
constexpr std::uint64_t kSmallBiosBytes = 320 * 1024;
constexpr std::uint64_t kMaxOptionRoms = 96 * 1024;  // the guest's room for them

std::uint64_t cmos_number(const Cmos& cmos, std::size_t at, unsigned bytes) {
  std::uint64_t value = 0;
  for (unsigned index = 0; index < bytes; ++index) value |= std::to_integer<std::uint64_t>(cmos[at + index]) << (8 * index);
  return value;
}

/// Sizes that the emulators from 0.9.1 and kvm-46 on give to all but the guest's RAM.
struct Layout {
  const char* writer;
  bool kvm;
  std::uint64_t video_bytes;
  std::uint64_t bios_bytes;
  VgaHole hole;
};
constexpr Layout kLayouts[] = {
    {"qemu 0.9.1 to 0.12", false, 8 * kMiB, 4 * kMiB, VgaHole::kKept},
    {"kvm-46 to kvm-60 without KVM", true, 8 * kMiB, 4 * kMiB, VgaHole::kKept},
    {"kvm-46 to kvm-60", true, 8 * kMiB, 4 * kMiB + kKvmExtraBytes, VgaHole::kLeftOut},
    {"kvm-62 or newer without KVM", true, 16 * kMiB, 4 * kMiB, VgaHole::kKept},
    {"kvm-62 or newer", true, 16 * kMiB, 4 * kMiB + kKvmExtraBytes, VgaHole::kLeftOut},
};

bool fill_in(Machine& machine, std::uint64_t rest, bool kvm) {
  for (const Layout& layout : kLayouts) {
    if (layout.kvm != kvm || rest != layout.video_bytes + layout.bios_bytes) continue;
    machine.writer = layout.writer;
    machine.video_bytes = layout.video_bytes;
    machine.bios_bytes = layout.bios_bytes;
    machine.hole = layout.hole;
    return true;
  }
  const std::uint64_t least = 8 * kMiB + kSmallBiosBytes;
  if (rest < least || rest > least + kMaxOptionRoms + (kvm ? kKvmExtraBytes : 0)) return false;
  machine.writer = kvm ? "kvm-14 to kvm-44" : "qemu 0.9.0 or older";
  machine.video_bytes = 8 * kMiB;
  machine.bios_bytes = rest - machine.video_bytes;
  machine.hole = kvm ? VgaHole::kEither : VgaHole::kKept;
  return true;
}

}  // namespace

std::optional<Machine> recognise_machine(const StreamLayout& layout, std::uint64_t phys_ram_size, std::uint64_t size_mask) {
  if (!layout.cmos) return std::nullopt;
  const Cmos& cmos = *layout.cmos;
  Machine machine;
  const std::uint64_t above_16m = cmos_number(cmos, 0x34, 2);
  machine.low_bytes = above_16m != 0 ? 16 * kMiB + above_16m * 65536 : kMiB + cmos_number(cmos, 0x30, 2) * 1024;
  machine.high_bytes = cmos_number(cmos, 0x5b, 3) * 65536;
  if (machine.low_bytes > kLowLimit || (machine.high_bytes != 0 && machine.low_bytes != kLowLimit)) return std::nullopt;
  // kvm-userspace put high RAM behind the BIOS in some versions: where it lies is not in the stream.
  const bool maybe_kvm = layout.kvm_userspace || layout.container != 2;
  if (layout.kvm_userspace && machine.high_bytes != 0) return std::nullopt;
  const std::uint64_t ram_bytes = machine.low_bytes + machine.high_bytes;
  const std::uint64_t rest = (phys_ram_size - ram_bytes) & size_mask;
  if (!fill_in(machine, rest, layout.kvm_userspace) && !(maybe_kvm && fill_in(machine, rest, true))) return std::nullopt;
  return machine;
}

std::vector<RegionInfo> machine_regions(const Machine& machine) {
  constexpr std::uint64_t kHoleEnd = 0x100000;
  RegionInfo ram;
  ram.name = kMainRamName;
  ram.size = machine.low_bytes + machine.high_bytes;
  ram.placements.push_back({0, 0, std::min(machine.low_bytes, kVgaHoleOffset)});
  if (machine.low_bytes > kHoleEnd) ram.placements.push_back({kHoleEnd, kHoleEnd, machine.low_bytes - kHoleEnd});
  if (machine.high_bytes != 0) ram.placements.push_back({kHighAddress, machine.low_bytes, machine.high_bytes});
  RegionInfo video;
  video.name = "vga.vram";
  video.size = machine.video_bytes;
  RegionInfo bios;
  bios.name = "pc.bios";
  bios.size = machine.bios_bytes;
  return {ram, video, bios};
}

}  // namespace snap

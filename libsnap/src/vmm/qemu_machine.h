// SPDX-License-Identifier: Apache-2.0
// What is known of the PC that a VM state comes from: how its one RAM buffer divides.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "snap/model.h"
#include "vmm/qemu_container.h"

namespace snap {

inline constexpr std::uint64_t kVgaHoleOffset = 0xa0000;
inline constexpr std::uint64_t kVgaHoleBytes = 0x20000;

enum class VgaHole { kKept, kLeftOut, kEither };

struct Machine {
  const char* writer = "";       ///< the emulators with this layout
  std::uint64_t low_bytes = 0;   ///< guest RAM below 4 GiB
  std::uint64_t high_bytes = 0;  ///< guest RAM from 4 GiB on
  std::uint64_t video_bytes = 0;
  std::uint64_t bios_bytes = 0;  ///< the BIOS area, option ROMs and KVM's extra pages
  VgaHole hole = VgaHole::kKept;

  std::uint64_t total_bytes() const { return low_bytes + high_bytes + video_bytes + bios_bytes; }
};

/// By the CMOS's RAM size and what remains of the phys_ram_size, of which `size_mask` bits are known. Nothing where both do not
/// fit one of the known layouts; the guest can write its CMOS.
std::optional<Machine> recognise_machine(const StreamLayout& layout, std::uint64_t phys_ram_size, std::uint64_t size_mask);

/// Regions in the order of the RAM buffer.
std::vector<RegionInfo> machine_regions(const Machine& machine);

}  // namespace snap

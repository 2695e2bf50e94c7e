// SPDX-License-Identifier: Apache-2.0
// Where a guest of today's QEMU sees its RAM: known from the machine type.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "snap/model.h"

namespace snap {

/// Placements of the main RAM block of `ram_bytes`; none where the machine is not known. Types are those of QEMU, with or without a
/// version: pc, pc-i440fx-7.2, q35, pc-q35-7.2, microvm, virt, isapc. `has_vga`: the VGA window hides the RAM behind it.
/// (hw/i386/pc_piix.c, pc_q35.c, microvm.c and hw/arm/virt.c of QEMU; max-ram-below-4g is at its default.)
std::vector<Placement> guest_layout(std::string_view machine, std::uint64_t ram_bytes, bool has_vga);
/// Whether guest_layout() knows the machine.
bool knows_machine(std::string_view machine);
/// Whether a RAM block of this name is a graphics card's memory, so that the guest has the VGA window.
bool is_vga_memory(std::string_view block);

}  // namespace snap

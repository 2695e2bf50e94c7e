// SPDX-License-Identifier: Apache-2.0
// RAM whose pages lie open in the VM state: version 1, kvm-userspace's live 3, upstream's live 3.
#pragma once

#include <cstdint>
#include <optional>

#include "snap/import.h"
#include "vmm/qemu_machine.h"
#include "vmm/ram_regions.h"
#include "vmm/recipe.h"

namespace snap {

/// What one look over all pages finds; nothing is written yet.
struct PageScan {
  std::uint64_t ram_end = 0;    ///< in the VM state
  std::uint64_t ram_bytes = 0;  ///< of the emulator's RAM buffer
  bool repeats = false;         ///< a page comes more than once: the last one counts
  RecipeWriter recipe;          ///< from layout.ram_begin to ram_end
};

Result<PageScan> scan_pages(StreamSource& stream, const StreamLayout& layout);

/// The pages into the writer's next regions.
Result<void> import_pages(StreamSource& stream, const StreamLayout& layout, PageScan& scan, const std::optional<Machine>& machine,
                          Writer& writer);

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// RAM version 2 and the static form of kvm-userspace's 3: records of a type byte and a block, in one zlib stream.
#pragma once

#include <cstdint>
#include <optional>

#include "snap/import.h"
#include "vmm/qemu_machine.h"
#include "vmm/ram_regions.h"
#include "vmm/recipe.h"

namespace snap {

struct StaticRam {
  DeflateParams params;
  Bytes slack;                       ///< of the last block, behind the RAM's end
  std::uint64_t ram_end = 0;         ///< in the VM state
  std::optional<bool> reproducible;  ///< with ImportOptions::lossless
};

/// Inflates the RAM into the writer's next regions.
Result<StaticRam> import_static_ram(StreamSource& stream, const StreamLayout& layout, const std::optional<Machine>& machine,
                                    Writer& writer, const ImportOptions& options);

}  // namespace snap

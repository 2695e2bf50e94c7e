// SPDX-License-Identifier: Apache-2.0
// Where a Linux of x86-64 sees all physical memory, one address behind the other: nearly every pointer of the kernel points there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "snap/import.h"
#include "vmm/kernel_image.h"

namespace snap {

/// The virtual address of the first byte of physical memory, by the guest's own page tables: it may be another at each start of the
/// guest. Nothing where they do not say, or say what cannot be.
Result<std::optional<std::uint64_t>> direct_map(Reader& reader, std::string_view vmcoreinfo, const KernelImage& image, std::span<const PhysicalRange> ranges);

}  // namespace snap

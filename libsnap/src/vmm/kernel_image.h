// SPDX-License-Identifier: Apache-2.0
// Where a Linux of x86-64 sees its own image: the one stretch of virtual addresses that needs no page table, and by which the page tables
// themselves are found.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "snap/import.h"

namespace snap {

struct KernelImage {
  std::uint64_t virtual_address = 0;
  PhysicalRange memory;
};

/// What the text of VMCOREINFO says: from the image's beginning on (its end the text does not tell), as much as is for it and lies in the
/// same range. Nothing where the text does not say, or says what cannot be: it comes out of the guest's memory.
std::optional<KernelImage> kernel_image(std::string_view vmcoreinfo, std::span<const PhysicalRange> ranges);

}  // namespace snap

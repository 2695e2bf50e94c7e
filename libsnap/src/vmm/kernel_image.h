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

/// What the text of VMCOREINFO says, as much of it as lies in the range that has the image's beginning. Nothing where the text does not
/// say, or says what cannot be: it comes out of the guest's memory.
std::optional<KernelImage> kernel_image(std::string_view vmcoreinfo, std::span<const PhysicalRange> ranges);

}  // namespace snap

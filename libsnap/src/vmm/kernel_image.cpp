// SPDX-License-Identifier: Apache-2.0
#include "vmm/kernel_image.h"

#include <algorithm>

#include "vmm/vmcoreinfo.h"

namespace snap {
namespace {

// The kernel's map of itself (Documentation/x86/x86_64/mm.rst). Modules follow where the space for the image ends: after 1 GiB where the
// image may be moved about, else after half.
constexpr std::uint64_t kMap = 0xffffffff80000000;
constexpr std::uint64_t kMostBytes = 1u << 30;
constexpr std::uint64_t kFixedBytes = kMostBytes / 2;

/// Where an older kernel does not tell: one that was moved has the larger one.
std::uint64_t space_for_image(std::string_view text) {
  if (const auto told = vmcoreinfo_number(text, "KERNEL_IMAGE_SIZE")) return std::min(static_cast<std::uint64_t>(*told), kMostBytes);
  return vmcoreinfo_kernel_offset(text).value_or(0) != 0 ? kMostBytes : kFixedBytes;
}

}  // namespace

std::optional<KernelImage> kernel_image(std::string_view text, std::span<const PhysicalRange> ranges) {
  const auto told_base = vmcoreinfo_number(text, "phys_base");
  const auto stext = vmcoreinfo_symbol(text, "_stext");
  if (!told_base || !stext) return std::nullopt;
  const auto base = static_cast<std::uint64_t>(*told_base);  // where it is negative, the sum below wraps around as it should
  const std::uint64_t space = space_for_image(text);
  if (base % kPageBytes != 0 || *stext < kMap || *stext - kMap >= space) return std::nullopt;
  const std::uint64_t before = (*stext - kMap) / kPageBytes * kPageBytes;
  const std::uint64_t begins = base + before;
  for (const PhysicalRange& range : ranges) {
    if (begins < range.guest_address || begins - range.guest_address >= range.length) continue;
    const std::uint64_t into = begins - range.guest_address;
    return KernelImage{kMap + before, {begins, std::min(space - before, range.length - into), range.region, range.offset + into}};
  }
  return std::nullopt;
}

}  // namespace snap

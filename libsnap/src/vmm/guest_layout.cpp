// SPDX-License-Identifier: Apache-2.0
#include "vmm/guest_layout.h"

#include <algorithm>

namespace snap {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kVgaBegin = 0xa0000;
constexpr std::uint64_t kVgaEnd = 0xc0000;

struct Family {
  std::string_view prefix;
  bool exact;                 ///< the name is the prefix alone
  std::uint64_t base;         ///< where RAM begins
  std::uint64_t least_to_split;  ///< RAM of this size or more has a part above 4 GiB; 0: never
  std::uint64_t low_bytes;    ///< then below stay so many
  bool vga_window;
};
constexpr Family kFamilies[] = {
    {"pc", true, 0, 0xe0000000, 3 * kGiB, true},
    {"pc-i440fx-", false, 0, 0xe0000000, 3 * kGiB, true},
    {"pc-q35-", false, 0, 0xb0000000, 2 * kGiB, true},
    {"q35", true, 0, 0xb0000000, 2 * kGiB, true},
    {"pc-0.", false, 0, 0xe0000000, 0xe0000000, true},
    {"pc-1.", false, 0, 0xe0000000, 0xe0000000, true},
    {"isapc", true, 0, 0xe0000000, 0xe0000000, true},
    {"microvm", true, 0, 0xc0000000, 3 * kGiB, false},
    {"virt", true, kGiB, 0, 0, false},
    {"virt-", false, kGiB, 0, 0, false},
};

const Family* family_of(std::string_view machine) {
  const auto* const found = std::find_if(std::begin(kFamilies), std::end(kFamilies), [&](const Family& family) {
    return family.exact ? machine == family.prefix : machine.starts_with(family.prefix);
  });
  return found == std::end(kFamilies) ? nullptr : found;
}

/// The oldest types do not keep the part above 4 GiB aligned to a gigabyte.
bool is_unaligned_pc(std::string_view machine) { return machine.starts_with("pc-i440fx-1.") || machine.starts_with("pc-q35-1."); }

}  // namespace

bool knows_machine(std::string_view machine) { return family_of(machine) != nullptr; }

bool is_vga_memory(std::string_view block) {
  return block.ends_with("vga.vram") || block.ends_with("qxl.vram") || block.ends_with("/vmvga.vram");
}

std::vector<Placement> guest_layout(std::string_view machine, std::uint64_t ram_bytes, bool has_vga) {
  const Family* family = family_of(machine);
  if (family == nullptr) return {};
  const bool split = family->least_to_split != 0 && ram_bytes >= family->least_to_split;
  const std::uint64_t most_low = is_unaligned_pc(machine) ? family->least_to_split : family->low_bytes;
  const std::uint64_t low = split ? std::min(ram_bytes, most_low) : ram_bytes;
  std::vector<Placement> placements;
  const auto place = [&](std::uint64_t address, std::uint64_t offset, std::uint64_t length) {
    if (length != 0) placements.push_back({address, offset, length});
  };
  if (family->vga_window && has_vga) {
    place(family->base, 0, std::min(low, kVgaBegin));
    if (low > kVgaEnd) place(family->base + kVgaEnd, kVgaEnd, low - kVgaEnd);
  } else {
    place(family->base, 0, low);
  }
  place(4 * kGiB, low, ram_bytes - low);
  return placements;
}

}  // namespace snap

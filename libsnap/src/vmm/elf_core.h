// SPDX-License-Identifier: Apache-2.0
// What an ELF core says of itself, checked: where which stretch of the guest's memory lies in the file.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "snap/result.h"
#include "vmm/elf.h"

namespace snap {

/// Fills `out` with the core's bytes at an offset, or fails.
using ReadCore = std::function<Result<void>(std::uint64_t offset, std::span<std::byte> out)>;

struct ElfCore {
  bool wide = true;  ///< ELF64
  std::uint16_t machine = 0;
  std::uint32_t flags = 0;
  /// By their place in the file. Segments that show the same bytes of the file at the same address are one.
  std::vector<elf::Load> loads;
  std::vector<elf::Load> notes;  ///< likewise
  bool one_pass = true;          ///< no two of them share bytes of the file: reading once, front to back, gets them all
};
Result<ElfCore> parse_elf_core(const ReadCore& read);

}  // namespace snap

// SPDX-License-Identifier: Apache-2.0
// The emulator's one RAM buffer, written in order as the regions it divides into.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "snap/writer.h"
#include "vmm/qemu_machine.h"

namespace snap {

/// The RAM of a machine that is not known.
inline constexpr std::string_view kWholeRamName = "phys_ram";

/// `size` may be kUnknownSize where the machine is not known.
std::vector<RegionInfo> ram_regions(const std::optional<Machine>& machine, std::uint64_t size);

class RamRegions {
 public:
  RamRegions(Writer& writer, std::vector<RegionInfo> regions) : writer_(writer), regions_(std::move(regions)) {}

  Result<void> write(std::span<const std::byte> bytes);
  Result<void> skip(std::uint64_t bytes);
  /// `offset`: what an error is to name.
  Result<void> finish(std::uint64_t offset);
  std::uint64_t bytes() const { return bytes_; }

 private:
  Result<std::uint64_t> room(std::uint64_t wanted);

  Writer& writer_;
  std::vector<RegionInfo> regions_;
  std::size_t next_ = 0;  // region to begin
  bool open_ = false;
  std::uint64_t left_ = 0;  // of the open region
  std::uint64_t bytes_ = 0;
};

}  // namespace snap

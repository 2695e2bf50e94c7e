// SPDX-License-Identifier: Apache-2.0
#include "qemu_needs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "snap/import.h"

namespace snap::tool {
namespace {

// What machines call their RAM where no memory backend is given.
constexpr std::array<std::string_view, 4> kDefaultNames = {"pc.ram", "microvm.ram", "mach-virt.ram", "ram"};

std::string memory_option(std::uint64_t bytes) {
  constexpr std::uint64_t kMebibyte = 1u << 20;
  return bytes % kMebibyte == 0 ? fmt::format("{}M", bytes / kMebibyte) : fmt::format("{}B", bytes);
}

}  // namespace

std::string QemuNeeds::line() const {
  std::string line;
  for (const std::string& each : arguments) line += (line.empty() ? "" : " ") + each;
  return line;
}

std::optional<QemuNeeds> qemu_needs(const Reader& reader) {
  const auto machine = reader.metadata().find(std::string(kMachineKey));
  const auto ram = main_memory(reader);
  if (machine == reader.metadata().end() || reader.metadata().count(std::string(kQemuRamSectionKey)) == 0 || !ram) return std::nullopt;
  const RegionInfo& block = reader.regions()[*ram];
  QemuNeeds needs{.machine = machine->second, .memory = memory_option(block.size), .ram = block.name, .arguments = {}};
  std::string option = needs.machine;
  // Another name is that of a backend.
  if (std::find(kDefaultNames.begin(), kDefaultNames.end(), block.name) == kDefaultNames.end()) {
    needs.arguments = {"-object", fmt::format("memory-backend-ram,id={},size={}", block.name, needs.memory)};
    option += ",memory-backend=" + block.name;
  }
  needs.arguments.insert(needs.arguments.end(), {"-machine", option, "-m", needs.memory});
  return needs;
}

}  // namespace snap::tool

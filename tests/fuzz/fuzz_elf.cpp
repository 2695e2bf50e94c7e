// SPDX-License-Identifier: Apache-2.0
// An ELF core from a file and through a pipe: both say the same, and what is imported comes back through an export.
#include "support/fuzz_import.h"

namespace snap::test {
namespace {

Result<void> import_core(std::span<const std::byte> core, bool pipe, MemorySnapshot& snapshot) {
  const auto source = memory_source(core);
  MemoryWriter writer(snapshot);
  if (!pipe) return import_elf(*source, writer, {});
  const auto bytes = range_stream(*source, 0, core.size());
  return import_elf_stream(*bytes, writer, {});
}

std::uint64_t memory_bytes(const MemorySnapshot& snapshot) {
  std::uint64_t total = 0;
  for (const MemoryRegion& region : snapshot.regions) total += region.info.size;
  return total;
}

bool same_memory(const MemorySnapshot& a, const MemorySnapshot& b) {
  if (a.regions.size() != b.regions.size()) return false;
  for (std::size_t i = 0; i < a.regions.size(); ++i) {
    if (a.regions[i].info.size != b.regions[i].info.size || a.regions[i].info.placements != b.regions[i].info.placements) return false;
    if (a.regions[i].pages != b.regions[i].pages) return false;
  }
  return true;
}

void run(std::span<const std::byte> core) {
  constexpr std::uint64_t kMostExported = 16u << 20;
  MemorySnapshot by_file;
  MemorySnapshot by_pipe;
  const auto file = import_core(core, false, by_file);
  const auto pipe = import_core(core, true, by_pipe);
  for (const Result<void>* each : {&file, &pipe}) {
    if (*each) continue;
    require(std::strlen(each->error().what) != 0, "an error without a cause");
    require(each->error().code != Code::kInvalidArgument, "the importer broke a rule of the writer");
  }
  if (pipe) require(file.has_value() && same_memory(by_file, by_pipe), "a pipe gives other memory than a file");
  if (!file || memory_bytes(by_file) > kMostExported) return;
  std::vector<std::byte> exported;
  const auto sink = memory_sink(exported);
  MemoryReader reader(by_file);
  require(export_elf(reader, *sink, {.threads = 0}).has_value(), "the export of an imported core failed");
  MemorySnapshot again;
  const auto second = import_core(exported, true, again);
  require(second.has_value(), "an exported core is refused");
}

}  // namespace
}  // namespace snap::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  snap::test::run(std::as_bytes(std::span(data, size)));
  return 0;
}

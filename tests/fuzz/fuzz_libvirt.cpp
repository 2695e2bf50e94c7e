// SPDX-License-Identifier: Apache-2.0
// A save image of libvirt, or a compressed stream. What is imported without error must be exported as one that gives the same memory.
#include "support/fuzz_import.h"

namespace snap::test {
namespace {

Result<void> import_bytes(std::span<const std::byte> bytes, MemorySnapshot& snapshot) {
  const auto memory = memory_source(bytes);
  const auto source = range_stream(*memory, 0, bytes.size());
  MemoryWriter writer(snapshot);
  const bool saved = detect_format(bytes) == Format::kLibvirt;
  const auto imported = saved ? import_libvirt(*source, writer, {}) : import_qemu(*source, writer, {});
  if (!imported) return imported.error();
  return *imported ? Error{.code = Code::kUnsupported, .what = "pages that come again"} : Result<void>();
}

}  // namespace
}  // namespace snap::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace snap;
  using namespace snap::test;
  MemorySnapshot snapshot;
  if (const auto done = import_bytes(std::as_bytes(std::span(data, size)), snapshot); !done) {
    require(done.error().code != Code::kOk && std::strlen(done.error().what) != 0, "an error without a cause");
    return 0;
  }
  std::uint64_t total = 0;
  for (const MemoryRegion& region : snapshot.regions) total += region.info.size;
  if (total > 4u << 20) return 0;
  std::vector<std::byte> image;
  const auto sink = memory_sink(image);
  MemoryReader reader(snapshot);
  const bool has_xml = snapshot.find("libvirt.header") != nullptr;
  require(export_libvirt(reader, *sink, {.threads = 0}, has_xml ? "" : "<domain/>").has_value(), "the export of an imported image failed");
  MemorySnapshot again;
  require(import_bytes(image, again).has_value(), "what was exported cannot be imported");
  require(again.memory() == snapshot.memory(), "an export gives other memory");
  return 0;
}

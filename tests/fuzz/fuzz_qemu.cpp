// SPDX-License-Identifier: Apache-2.0
// Migration streams. Bytes that begin as one are one; other bytes say what a guest does, whose stream must give what a plain model of it
// has. Whatever is imported comes out again as a stream that gives the same.
#include "fuzz/judge.h"
#include "snap/import.h"
#include "support/migration_stream.h"

namespace {

using namespace snap;
using namespace snap::test;

/// Exporting takes as long as the guest is large.
constexpr std::uint64_t kMostBytes = 4 * kMiB;

WriterOptions plain() {
  WriterOptions how;
  how.block_bytes = 1u << 14;
  how.codec = Codec::kStore;
  how.dedup = false;
  how.threads = 0;
  return how;
}

struct Taken {
  Bytes file;
  bool corrected = false;
};

void demand_cause(const Error& error) {
  demand(error.code != Code::kOk && std::strlen(error.what) != 0, "an error without a cause");
  demand(error.code != Code::kInvalidArgument, "the importer broke a rule of the writer");
}

bool take(std::span<const std::byte> stream, Taken& taken) {
  const auto memory = memory_source(stream);
  const auto source = range_stream(*memory, 0, stream.size());
  auto sink = memory_sink(taken.file);
  auto writer = Writer::create(*sink, plain());
  const auto imported = import_qemu(*source, **writer, {});
  if (!imported) return demand_cause(imported.error()), false;
  demand((*writer)->finish().has_value(), "a writer that does not finish");
  if (*imported == nullptr) return true;
  taken.corrected = true;
  const Bytes before = std::exchange(taken.file, {});
  const auto first = memory_source(before);
  auto reader = Reader::open(*first, {.cache_bytes = 0});
  auto second = memory_sink(taken.file);
  auto again = Writer::create(*second, plain());
  demand(reader && (*imported)->apply(**reader, **again, {}).has_value(), "a correction that fails");
  demand((*again)->finish().has_value(), "a second writer that does not finish");
  return true;
}

Bytes exported(Reader& reader) {
  Bytes stream;
  const auto sink = memory_sink(stream);
  ExportOptions options;
  options.threads = 0;
  demand(export_qemu(reader, *sink, options).has_value(), "the export of an imported stream failed");
  return stream;
}

void demand_same(Reader& one, Reader& other) {
  demand(one.regions().size() == other.regions().size(), "another number of regions");
  for (std::size_t i = 0; i < one.regions().size(); ++i) {
    const RegionInfo& info = one.regions()[i];
    const bool head = info.name == "qemu.stream.head";  // loses its list of capabilities
    demand(info.name == other.regions()[i].name && info.placements == other.regions()[i].placements, "another region");
    demand(head || one.region_digest(i) == other.region_digest(i), "other content");
  }
}

void judge(std::span<const std::byte> stream, const Ram* model) {
  Taken taken;
  if (!take(stream, taken)) return demand(model == nullptr, "a good stream that is refused");
  const auto source = memory_source(taken.file);
  auto reader = Reader::open(*source, {.cache_bytes = 0});
  demand(reader.has_value(), "a snapshot that does not open");
  std::uint64_t bytes = 0;
  for (const RegionInfo& info : (*reader)->regions()) bytes += info.size;
  if (bytes > kMostBytes) return;
  for (std::size_t i = 0; model != nullptr && i < model->size(); ++i) {
    Bytes content((*model)[i].content.size());
    demand((*reader)->read(i, 0, content).has_value() && content == (*model)[i].content, "not what the model has");
  }
  const Bytes again = exported(**reader);
  Taken second;
  demand(take(again, second) && !second.corrected, "an exported stream that is refused, or has pages twice");
  const auto second_source = memory_source(second.file);
  auto other = Reader::open(*second_source, {.cache_bytes = 0});
  demand(other.has_value(), "a second snapshot that does not open");
  demand_same(**reader, **other);
  demand(exported(**other) == again, "a stream that changes each time");
}

/// Four bytes are one thing that happens.
void act(std::span<const std::uint8_t> bytes) {
  const auto at = [&](std::size_t i) -> unsigned { return i < bytes.size() ? bytes[i] : 0; };
  ModelledGuest guest(blank_ram({{"pc.ram", 1 + at(0) % 40}, {"b", 1 + at(1) % 7}}));
  MigrationStream& stream = guest.stream;
  stream.head(at(2) % 4 == 0 ? "" : "pc-q35-7.2");
  stream.continues = at(2) % 3 != 0;
  stream.start_ram(guest.ram).part();
  for (std::size_t i = 3; i + 4 <= bytes.size(); i += 4) {
    const std::size_t block = at(i) >> 3 & 1;
    const std::size_t page = at(i + 1) % guest.pages(block);
    const unsigned value = at(i + 2);
    Buffer content = guest.at(block, page);
    switch (at(i) % 8) {
      case 0: guest.fill(block, page, value % 2 == 0 ? 0 : value); break;
      case 1: guest.compressed(block, page, page_like(value)); break;
      case 2: stream.eos().part(2 + value % 2); break;
      case 3: guest.page(block, page, page_like(value)); break;
      default:
        if (!guest.seen(block, page)) break;
        for (unsigned k = 0; k <= at(i + 3) % 64u; ++k) content[(value * 16u + k * 61u) % 4096] = static_cast<std::byte>(at(i + 3) * k);
        guest.delta(block, page, content);
    }
  }
  stream.eos().tail();
  judge(stream.bytes, &guest.ram);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bool is_stream = size >= 4 && std::memcmp(data, "QEVM", 4) == 0;
  if (is_stream) {
    judge(std::as_bytes(std::span(data, size)), nullptr);
  } else {
    act({data, size});
  }
  return 0;
}

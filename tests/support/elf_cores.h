// SPDX-License-Identifier: Apache-2.0
// ELF cores into a snapshot in memory and out of one, in each way that there is, and what one says, read without the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "snap/import.h"
#include "support/memory_snapshot.h"
#include "support/sample.h"
#include "support/temporary.h"

namespace snap::test {

using Buffer = std::vector<std::byte>;

inline Buffer noise(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Buffer bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

struct Import {
  MemorySnapshot snapshot;
  Error error;
  bool ok() const { return error.code == Code::kOk; }
};

enum class By { kFile, kPipe };

inline Import import_core(const Buffer& core, By by) {
  Import import;
  MemoryWriter writer(import.snapshot);
  const auto source = memory_source(core);
  const auto pipe = range_stream(*source, 0, core.size());
  const auto done = by == By::kFile ? import_elf(*source, writer, {}) : import_elf_stream(*pipe, writer, {});
  if (!done) import.error = done.error();
  return import;
}

inline constexpr By kWays[] = {By::kFile, By::kPipe};

inline Result<Buffer> export_core(Reader& reader, By by, ExportOptions options = {}) {
  if (by == By::kPipe) {
    Buffer core;
    const auto sink = memory_sink(core);
    if (const auto done = export_elf(reader, *sink, options); !done) return done.error();
    return core;
  }
  const TemporaryFile file;
  options.target_is_zero = true;
  if (const auto done = export_elf_to_file(reader, file.fd(), options); !done) return done.error();
  return file.bytes();
}

inline std::uint64_t number(const Buffer& bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes.at(at + i));
  return value;
}

struct Shown {
  std::uint64_t address = 0;
  Buffer content;
  std::uint64_t virtual_address = 0;
};

/// What an ELF64 or ELF32 core says, read without the library.
struct ParsedCore {
  Buffer notes;
  std::vector<Shown> memory;
  std::vector<Shown> image;  ///< at the virtual addresses of a kernel's image

  explicit ParsedCore(const Buffer& core) {
    const bool wide = core.at(4) == std::byte{2};
    const std::size_t word = wide ? 8 : 4;
    const std::size_t entry = wide ? 56 : 32;
    std::uint64_t count = number(core, 24 + 3 * word + 8, 2);
    if (count == 0xffff) count = number(core, number(core, 24 + 2 * word, word) + (wide ? 44 : 28), 4);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::size_t at = number(core, 24 + word, word) + i * entry;
      const auto field = [&](std::size_t in_wide, std::size_t in_narrow) { return number(core, at + (wide ? in_wide : in_narrow), word); };
      const std::uint64_t from = field(8, 4);
      const std::uint64_t size = field(32, 16);
      EXPECT_EQ(field(40, 20), number(core, at, 4) == 1 ? size : field(40, 20));
      EXPECT_LE(from + size, core.size());
      const Buffer content(core.begin() + static_cast<std::ptrdiff_t>(from), core.begin() + static_cast<std::ptrdiff_t>(from + size));
      if (number(core, at, 4) == 4) {
        notes = content;
        continue;
      }
      EXPECT_EQ(from % 4096, field(24, 12) % 4096);
      EXPECT_EQ(from % 4096, field(16, 8) % 4096);
      (wide && field(16, 8) >= 0xffffffff80000000 ? image : memory).push_back({field(24, 12), content, field(16, 8)});
    }
  }
};

inline void add_region(MemorySnapshot& snapshot, RegionKind kind, std::string name, const Buffer& content, std::vector<Placement> placements = {}) {
  MemoryRegion region;
  region.info = {kind, std::move(name), content.size(), 12, std::move(placements)};
  region.put(0, content);
  snapshot.regions.push_back(std::move(region));
}

}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// The parent of all children that are fuzzed.
#pragma once

#include <memory>

#include "fuzz/judge.h"
#include "snap/writer.h"
#include "support/small_parent.h"

namespace snap::test {

inline Reader& fixed_parent() {
  struct Parent {
    Parent() {
      auto sink = memory_sink(file);
      auto writer = Writer::create(*sink, {.block_bytes = 1u << 14, .codec = Codec::kStore});
      const Bytes ram = small_parent_ram();
      demand(writer.has_value(), "no writer");
      demand((*writer)->begin_region({RegionKind::kMemory, "ram", ram.size(), 12, {{0, 0, ram.size()}}}).has_value(), "no region");
      demand((*writer)->write(ram).has_value() && (*writer)->end_region().has_value(), "no memory");
      demand(write_state(**writer, "dev", small_parent_dev()).has_value() && (*writer)->finish().has_value(), "no parent");
      source = memory_source(file);
      auto opened = Reader::open(*source);
      demand(opened.has_value(), "a parent that does not open");
      reader = std::move(*opened);
    }
    Bytes file;
    std::unique_ptr<RandomSource> source;
    std::unique_ptr<Reader> reader;
  };
  static const Parent parent;
  return *parent.reader;
}

/// The parent where the header says that there is one, else null.
inline Reader* parent_for(std::span<const std::byte> file) {
  return file.size() > 16 && (file[16] & std::byte{1}) != std::byte{0} ? &fixed_parent() : nullptr;
}

}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// Imports and exports through memory, for the tests of old VM states.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "snap/import.h"
#include "support/memory_snapshot.h"
#include "support/old_vmstate.h"

namespace snap::test {

struct Imported {
  MemorySnapshot snapshot;
  Error error;  ///< kOk: imported
  bool ok() const { return error.code == Code::kOk; }
};

inline Imported import_state(const Buffer& stream, ImportOptions options = {}) {
  Imported imported;
  MemoryWriter writer(imported.snapshot);
  const auto source = memory_source(stream);
  if (auto result = import_vmstate(*source, writer, options); !result) imported.error = result.error();
  return imported;
}

inline Imported import_image(const Buffer& image, ImportOptions options = {}) {
  Imported imported;
  MemoryWriter writer(imported.snapshot);
  const auto source = memory_source(image);
  if (auto result = import_qcow2(*source, writer, options); !result) imported.error = result.error();
  return imported;
}

struct Exported {
  Buffer stream;
  VmstateExport report;
  Error error;
};

inline Exported export_state(const MemorySnapshot& snapshot) {
  Exported exported;
  MemoryReader reader(snapshot);
  const auto sink = memory_sink(exported.stream);
  auto result = export_vmstate(reader, *sink);
  if (result) {
    exported.report = *result;
  } else {
    exported.error = result.error();
  }
  return exported;
}

/// The stream comes back as it was, and the export knows that.
inline void expect_round_trip(const Imported& imported, const Buffer& stream) {
  ASSERT_TRUE(imported.ok()) << imported.error.what << " at " << imported.error.file_offset;
  const Exported exported = export_state(imported.snapshot);
  ASSERT_EQ(exported.error.code, Code::kOk) << exported.error.what;
  EXPECT_TRUE(exported.report.digest_known);
  EXPECT_TRUE(exported.report.identical);
  EXPECT_EQ(exported.report.bytes, stream.size());
  EXPECT_TRUE(exported.stream == stream);
  EXPECT_EQ(imported.snapshot.metadata.at("qemu.vmstate.bytes"), std::to_string(stream.size()));
}

/// "name size name size ..." of the memory regions.
inline std::string memory_layout(const MemorySnapshot& snapshot) {
  std::string text;
  for (const MemoryRegion& region : snapshot.regions) {
    if (region.info.kind != RegionKind::kMemory) continue;
    text += (text.empty() ? "" : " ") + region.info.name + " " + std::to_string(region.info.size);
  }
  return text;
}

inline void expect_refused(const Imported& imported, Code code, std::string_view cause) {
  EXPECT_EQ(imported.error.code, code) << imported.error.what;
  EXPECT_NE(std::string_view(imported.error.what).find(cause), std::string_view::npos) << imported.error.what;
}

}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets of old images share: whatever is imported without error must come back byte for byte.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "snap/import.h"
#include "support/memory_snapshot.h"

namespace snap::test {

inline void require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

using Import = std::function<Result<void>(Writer&, const ImportOptions&)>;

/// Imports losslessly, and where that works exports again.
inline void import_and_export(const Import& import, ImportOptions options) {
  options.lossless = true;
  MemorySnapshot snapshot;
  MemoryWriter writer(snapshot);
  const auto imported = import(writer, options);
  if (!imported) {
    require(imported.error().code != Code::kOk && std::strlen(imported.error().what) != 0, "an error without a cause");
    require(imported.error().code != Code::kInvalidArgument || std::strstr(imported.error().what, "rule") == nullptr,
            "the importer broke a rule of the writer");
    return;
  }
  std::vector<std::byte> stream;
  const auto sink = memory_sink(stream);
  MemoryReader reader(snapshot);
  const auto exported = export_vmstate(reader, *sink);
  require(exported.has_value(), "the export of an imported VM state failed");
  require(exported->identical, "a lossless import did not come back");
}

}  // namespace snap::test

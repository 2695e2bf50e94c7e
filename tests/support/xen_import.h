// SPDX-License-Identifier: Apache-2.0
// Xen save files through a snapshot in memory, as `vmsnap convert` takes them: written again where pages came late.
#pragma once

#include "support/corrected_import.h"
#include "support/xen_save.h"

namespace snap::test {

inline StreamImport import_save(std::span<const std::byte> save, std::size_t most_at_once = 1u << 20, const ImportOptions& options = {}) {
  WriterOptions how;
  how.codec = Codec::kLz4;
  how.threads = 0;
  Trickle stream(save, most_at_once);
  return import_corrected(import_xen, stream, how, options);
}

struct XenFile {
  Buffer bytes;
  VmstateExport report;
  Error error;
};

inline XenFile export_save(const Buffer& snapshot, unsigned threads = 0) {
  XenFile file;
  const auto source = memory_source(snapshot);
  const auto reader = Reader::open(*source);
  file.error = reader.error();
  if (!reader) return file;
  const auto sink = memory_sink(file.bytes);
  ExportOptions options;
  options.threads = threads;
  const auto exported = export_xen(**reader, *sink, options);
  file.error = exported.error();
  if (exported) file.report = *exported;
  return file;
}

}  // namespace snap::test

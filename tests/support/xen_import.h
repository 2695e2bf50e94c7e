// SPDX-License-Identifier: Apache-2.0
// Xen save files through a snapshot in memory, as `vmsnap convert` takes them: written again where pages came late.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "snap/import.h"
#include "support/xen_save.h"

namespace snap::test {

struct XenSnapshot {
  Buffer file;
  Error error;             ///< kOk: imported
  bool corrected = false;  ///< pages came late
  bool ok() const { return error.code == Code::kOk; }
};

/// Gives at most `most` bytes at a time.
class Trickle final : public ByteSource {
 public:
  Trickle(std::span<const std::byte> bytes, std::size_t most) : rest_(bytes), most_(most) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min({out.size(), rest_.size(), most_});
    std::copy_n(rest_.begin(), count, out.begin());
    rest_ = rest_.subspan(count);
    return count;
  }

 private:
  std::span<const std::byte> rest_;
  std::size_t most_;
};

namespace xen_detail {

inline Result<Imported> write_first(ByteSource& save, Buffer& to, const WriterOptions& how, const ImportOptions& options) {
  const auto sink = memory_sink(to);
  auto writer = Writer::create(*sink, how);
  if (!writer) return writer.error();
  auto imported = import_xen(save, **writer, options);
  if (!imported) return imported.error();
  if (const auto done = (*writer)->finish(); !done) return done.error();
  return imported;
}

inline Result<void> write_second(Corrections& corrections, const Buffer& first, Buffer& to, const WriterOptions& how,
                                 const ImportOptions& options) {
  const auto source = memory_source(first);
  const auto reader = Reader::open(*source);
  if (!reader) return reader.error();
  const auto sink = memory_sink(to);
  auto writer = Writer::create(*sink, how);
  if (!writer) return writer.error();
  if (auto applied = corrections.apply(**reader, **writer, options); !applied) return applied;
  const auto done = (*writer)->finish();
  return done ? Result<void>() : Result<void>(done.error());
}

}  // namespace xen_detail

inline XenSnapshot import_save(std::span<const std::byte> save, std::size_t most_at_once = 1u << 20, const ImportOptions& options = {}) {
  WriterOptions how;
  how.codec = Codec::kLz4;
  how.threads = 0;
  XenSnapshot snapshot;
  Trickle stream(save, most_at_once);
  Buffer first;
  auto imported = xen_detail::write_first(stream, first, how, options);
  snapshot.error = imported.error();
  if (!imported) return snapshot;
  snapshot.corrected = *imported != nullptr;
  if (!snapshot.corrected) {
    snapshot.file = std::move(first);
    return snapshot;
  }
  snapshot.error = xen_detail::write_second(**imported, first, snapshot.file, how, options).error();
  return snapshot;
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

// SPDX-License-Identifier: Apache-2.0
// Foreign streams through an importer into a snapshot in memory, which is written again where pages came late.
#pragma once

#include <algorithm>
#include <utility>

#include "snap/import.h"

namespace snap::test {

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

struct StreamImport {
  std::vector<std::byte> file;
  Error error;             ///< kOk: imported
  bool corrected = false;  ///< pages came late
  bool ok() const { return error.code == Code::kOk; }
};

using Importer = Result<snap::Imported> (*)(ByteSource&, Writer&, const ImportOptions&);

inline Result<snap::Imported> import_with(Importer import, ByteSource& source, std::vector<std::byte>& file, const WriterOptions& how,
                                    const ImportOptions& options) {
  const auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, how);
  if (!writer) return writer.error();
  auto imported = import(source, **writer, options);
  if (!imported) return imported.error();
  if (const auto done = (*writer)->finish(); !done) return done.error();
  return imported;
}

inline Result<void> correct(Corrections& corrections, std::vector<std::byte>& file, const WriterOptions& how, const ImportOptions& options) {
  const auto before = std::exchange(file, {});
  const auto source = memory_source(before);
  auto first = Reader::open(*source, {.parent = how.parent});
  if (!first) return first.error();
  const auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, how);
  if (!writer) return writer.error();
  if (auto applied = corrections.apply(**first, **writer, options); !applied) return applied.error();
  auto done = (*writer)->finish();
  return done ? Result<void>() : done.error();
}

inline StreamImport import_corrected(Importer import, ByteSource& source, const WriterOptions& how, const ImportOptions& options) {
  StreamImport out;
  auto imported = import_with(import, source, out.file, how, options);
  if (!imported) return out.error = imported.error(), out;
  if (*imported == nullptr) return out;
  out.corrected = true;
  if (auto done = correct(**imported, out.file, how, options); !done) out.error = done.error();
  return out;
}

}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// Migration streams through the importer into a snapshot in memory, corrected where pages came again; and out again.
#pragma once

#include "support/corrected_import.h"
#include "support/migration_stream.h"
#include "support/sample.h"

namespace snap::test {

/// Gives pieces of odd sizes: 1, 2, 3 … `most`, and again.
class UnevenStream final : public ByteSource {
 public:
  UnevenStream(std::span<const std::byte> bytes, std::size_t most) : left_(bytes), most_(most) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min({out.size(), left_.size(), turn_++ % most_ + 1});
    std::copy_n(left_.begin(), count, out.begin());
    left_ = left_.subspan(count);
    return count;
  }

 private:
  std::span<const std::byte> left_;
  std::size_t most_;
  std::size_t turn_ = 0;
};

inline StreamImport import_from(ByteSource& source, WriterOptions how = {}, const ImportOptions& options = {}) {
  how.block_bytes = how.parent != nullptr ? how.parent->block_bytes() : 1u << 14;
  return import_corrected(import_qemu, source, how, options);
}
inline StreamImport import_stream(const Buffer& bytes, const WriterOptions& how = {}, const ImportOptions& options = {}) {
  const auto memory = memory_source(bytes);
  return import_from(*range_stream(*memory, 0, bytes.size()), how, options);
}

/// A snapshot in memory, open.
class Opened {
 public:
  explicit Opened(const Bytes& file, Reader* parent = nullptr) : source_(memory_source(file)) {
    auto reader = Reader::open(*source_, {.parent = parent});
    if (reader) {
      reader_ = std::move(*reader);
    } else {
      ADD_FAILURE() << explain(reader.error());
    }
  }
  Reader& operator*() { return *reader_; }
  Reader* operator->() { return reader_.get(); }
  Bytes content(RegionKind kind, std::string_view name) {
    const auto at = reader_->find(kind, name);
    if (!at) return {};
    Bytes bytes(reader_->regions()[*at].size);
    const auto read = reader_->read(*at, 0, bytes);
    EXPECT_TRUE(read.has_value()) << explain(read.error());
    return bytes;
  }
  std::string metadata(const std::string& key) { return reader_->metadata().contains(key) ? reader_->metadata().at(key) : "-"; }

 private:
  std::unique_ptr<RandomSource> source_;
  std::unique_ptr<Reader> reader_;
};

/// All blocks, no more, with this content; and the file is sound.
inline void expect_ram(const Bytes& file, const Ram& ram, Reader* parent = nullptr) {
  Opened opened(file, parent);
  std::size_t blocks = 0;
  for (const RegionInfo& info : opened->regions()) blocks += info.kind == RegionKind::kMemory;
  EXPECT_EQ(blocks, ram.size());
  for (const RamBlock& block : ram) {
    const Bytes content = opened.content(RegionKind::kMemory, block.name);
    ASSERT_EQ(content.size(), block.content.size()) << block.name;
    for (std::size_t at = 0; at < content.size(); at += 4096) {
      ASSERT_TRUE(std::equal(content.begin() + static_cast<std::ptrdiff_t>(at), content.begin() + static_cast<std::ptrdiff_t>(at + 4096),
                             block.content.begin() + static_cast<std::ptrdiff_t>(at)))
          << block.name << " page " << at / 4096;
    }
  }
  const CheckReport report = check_file(file, 0, parent);
  EXPECT_TRUE(report.clean()) << describe(report);
}

inline void expect_imports(const Buffer& stream, const Ram& ram, bool corrected) {
  const StreamImport imported = import_stream(stream);
  ASSERT_TRUE(imported.ok()) << explain(imported.error);
  EXPECT_EQ(imported.corrected, corrected);
  expect_ram(imported.file, ram);
}

inline Result<Buffer> export_stream(Reader& reader, const std::optional<CloneOptions>& clone = std::nullopt, unsigned threads = 0) {
  Buffer stream;
  const auto sink = memory_sink(stream);
  ExportOptions options;
  options.threads = threads;
  auto done = export_qemu(reader, *sink, options, clone);
  if (!done) return done.error();
  return stream;
}

inline void expect_refused(const StreamImport& imported, Code code, std::string_view cause, std::optional<std::uint64_t> offset = {}) {
  EXPECT_EQ(imported.error.code, code) << explain(imported.error);
  ASSERT_NE(imported.error.what, nullptr);
  EXPECT_NE(std::string_view(imported.error.what).find(cause), std::string_view::npos) << explain(imported.error);
  EXPECT_EQ(imported.error.file_offset, offset.value_or(imported.error.file_offset)) << explain(imported.error);
}

}  // namespace snap::test

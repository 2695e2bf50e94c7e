// SPDX-License-Identifier: Apache-2.0
// Raw memory in, and telling formats apart.
#include "support/legacy_import.h"

namespace snap::test {
namespace {

/// Says that only some pages have data.
class SparseSource final : public RandomSource {
 public:
  explicit SparseSource(const Buffer& bytes) : bytes_(bytes), inner_(memory_source(bytes)) {}
  Result<std::uint64_t> size() override { return inner_->size(); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    read_bytes += out.size();
    return inner_->read_at(offset, out);
  }
  Result<std::uint64_t> next_data(std::uint64_t offset) override {
    while (offset < bytes_.size() && bytes_[offset] == std::byte{0}) ++offset;
    return offset;
  }
  std::uint64_t read_bytes = 0;

 private:
  const Buffer& bytes_;
  std::unique_ptr<RandomSource> inner_;
};

class Chunks final : public ByteSource {
 public:
  explicit Chunks(const Buffer& bytes) : bytes_(bytes) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min({out.size(), bytes_.size() - at_, std::size_t{10007}});
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), count, out.begin());
    at_ += count;
    return count;
  }

 private:
  const Buffer& bytes_;
  std::size_t at_ = 0;
};

TEST(RawImport, LeavesHolesUnread) {
  Buffer ram(64 * kMiB + 100);
  ram[20 * kMiB + 5000] = std::byte{1};
  ram[64 * kMiB + 99] = std::byte{2};
  SparseSource source(ram);
  MemorySnapshot snapshot;
  MemoryWriter writer(snapshot);
  std::atomic<std::uint64_t> progress = 0;
  ImportOptions options;
  options.progress = &progress;
  const auto imported = import_raw(source, "pc.ram", writer, options);
  ASSERT_TRUE(imported) << imported.error().what;
  EXPECT_TRUE(snapshot.bytes("pc.ram") == ram);
  EXPECT_EQ(progress.load(), ram.size());
  EXPECT_LE(source.read_bytes, 2 * kMiB);
  EXPECT_EQ(snapshot.metadata.at("source.format"), "raw");
}

TEST(RawImport, TakesAStreamOfUnknownLength) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{2 * kMiB}, std::size_t{2 * kMiB + 12345}}) {
    const Buffer ram = sample_ram(size);
    Chunks source(ram);
    MemorySnapshot snapshot;
    MemoryWriter writer(snapshot);
    const auto imported = import_raw_stream(source, "pc.ram", writer, {});
    ASSERT_TRUE(imported) << imported.error().what;
    EXPECT_TRUE(snapshot.bytes("pc.ram") == ram);
    EXPECT_EQ(snapshot.find("pc.ram")->info.size, size);
  }
}

TEST(RawImport, StopsWhenCancelled) {
  const Buffer ram = sample_ram(2 * kMiB);
  std::atomic<bool> cancel = true;
  ImportOptions options;
  options.cancel = &cancel;
  MemorySnapshot snapshot;
  MemoryWriter writer(snapshot);
  const auto source = memory_source(ram);
  EXPECT_EQ(import_raw(*source, "pc.ram", writer, options).error().code, Code::kCancelled);
  MemorySnapshot other;
  MemoryWriter other_writer(other);
  Chunks stream(ram);
  EXPECT_EQ(import_raw_stream(stream, "pc.ram", other_writer, options).error().code, Code::kCancelled);
}

TEST(DetectFormat, GoesByTheMagic) {
  const auto detect = [](std::string_view bytes) { return detect_format(std::as_bytes(std::span(bytes.data(), bytes.size()))); };
  EXPECT_EQ(detect(std::string_view("\x89VMS\r\n\x1a\n\x01", 9)), Format::kVmsnap);
  EXPECT_EQ(detect("QFI\xfb and more"), Format::kQcow2);
  EXPECT_EQ(detect("QEVM and more"), Format::kVmstate);
  EXPECT_EQ(detect("QEV"), Format::kRaw);
  EXPECT_EQ(detect(""), Format::kRaw);
  for (const Format format : {Format::kVmsnap, Format::kRaw, Format::kQcow2, Format::kVmstate}) {
    EXPECT_EQ(format_from_name(format_name(format)), format);
  }
  EXPECT_FALSE(format_from_name("vhd"));
}

TEST(MainMemory, IsNamedOrTheLargest) {
  MemorySnapshot snapshot;
  const auto add = [&](std::string_view name, std::uint64_t size, RegionKind kind) {
    MemoryRegion region;
    region.info.kind = kind;
    region.info.name = name;
    region.info.size = size;
    snapshot.regions.push_back(region);
  };
  add("state", 9999, RegionKind::kState);
  EXPECT_FALSE(main_memory(MemoryReader(snapshot)));
  add("a", 100, RegionKind::kMemory);
  EXPECT_EQ(main_memory(MemoryReader(snapshot)), 1u);
  add("b", 200, RegionKind::kMemory);
  EXPECT_EQ(main_memory(MemoryReader(snapshot)), 2u);
  add("pc.ram", 50, RegionKind::kMemory);
  EXPECT_EQ(main_memory(MemoryReader(snapshot)), 3u);
}

}  // namespace
}  // namespace snap::test

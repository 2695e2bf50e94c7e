// SPDX-License-Identifier: Apache-2.0
// Where there is data and where not, in chains: told right, and without looking at the same blocks again and again.
#include "support/sample.h"

namespace snap::test {
namespace {

class CountingSource final : public RandomSource {
 public:
  explicit CountingSource(const Bytes& bytes) : inner_(memory_source(bytes)) {}
  Result<std::uint64_t> size() override { return inner_->size(); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    ++reads;
    return inner_->read_at(offset, out);
  }
  std::uint64_t reads = 0;

 private:
  std::unique_ptr<RandomSource> inner_;
};

Sample sample_of(const Bytes& memory, Reader* parent = nullptr) {
  Sample sample;
  sample.options.block_bytes = 16384;
  sample.options.codec = Codec::kStore;
  sample.options.parent = parent;
  sample.add(RegionKind::kMemory, "ram", memory);
  return sample;
}

TEST(ChildExtents, AreFoundInOnePass) {
  constexpr std::size_t kBlocks = 800;
  Bytes content = make_content(Pattern::kRandom, kBlocks * 16384, 1);
  const Bytes base = make_file(sample_of(content));
  CountingSource base_source(base);
  const auto parent = Reader::open(base_source, {.cache_bytes = 0});
  ASSERT_OK(parent);
  for (std::size_t block = 0; block < kBlocks; block += 4) content[block * 16384] ^= std::byte{1};
  const Bytes child = make_file(sample_of(content, parent->get()));
  const auto source = memory_source(child);
  const auto reader = Reader::open(*source, {.parent = parent->get()});
  ASSERT_OK(reader);
  base_source.reads = 0;
  const auto extent = (*reader)->extent(0, 0);
  ASSERT_OK(extent);
  EXPECT_TRUE(extent->data);
  EXPECT_EQ(extent->length, content.size());
  EXPECT_LT(base_source.reads, 8 * kBlocks);  // without a cache a look at a block reads its nodes
}

TEST(ChildExtents, AreThoseOfTheContentAtAnyPlace) {
  Random random(2);
  Bytes content(300 * 16384 + 5000);
  const auto scribble = [&] {
    for (int i = 0; i < 30; ++i) {
      const std::size_t at = random.below(content.size()), bytes = random.below(40000);
      const auto piece = std::span(content).subspan(at, std::min(bytes, content.size() - at));
      random.one_in(2) ? random.fill(piece) : std::fill(piece.begin(), piece.end(), std::byte{0});
    }
  };
  std::vector<Bytes> files;
  std::vector<std::unique_ptr<RandomSource>> sources;
  std::vector<std::unique_ptr<Reader>> readers;
  files.reserve(4);
  for (int depth = 0; depth < 4; ++depth) {
    scribble();
    Reader* const parent = readers.empty() ? nullptr : readers.back().get();
    files.push_back(make_file(sample_of(content, parent)));
    sources.push_back(memory_source(files.back()));
    auto reader = Reader::open(*sources.back(), {.parent = parent});
    ASSERT_OK(reader);
    readers.push_back(std::move(*reader));
    for (std::uint64_t offset = 0; offset < content.size();) {
      const auto extent = readers.back()->extent(0, offset);
      ASSERT_OK(extent);
      ASSERT_EQ(extent->offset, offset);
      ASSERT_GT(extent->length, 0u);
      ASSERT_LE(offset + extent->length, content.size());
      if (!extent->data) {
        const auto piece = std::span(content).subspan(offset, extent->length);
        ASSERT_TRUE(std::all_of(piece.begin(), piece.end(), [](std::byte byte) { return byte == std::byte{0}; }));
      }
      if (offset + extent->length < content.size()) {
        const auto next = readers.back()->extent(0, offset + extent->length);
        ASSERT_OK(next);
        ASSERT_NE(next->data, extent->data) << "an extent ends where the kind changes";
      }
      offset += extent->length;
    }
  }
}

TEST(HugeParents, AreIndexedByWhatTheyHold) {
  constexpr std::uint64_t kSize = std::uint64_t{1} << 50;
  const Bytes page = make_content(Pattern::kRandom, kPage, 3);
  Bytes file;
  const auto write = [&](const WriterOptions& options) {
    file.clear();
    auto sink = memory_sink(file);
    auto writer = Writer::create(*sink, options);
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", kSize, 12, {}}));
    ASSERT_OK((*writer)->skip(kSize / 2));
    ASSERT_OK((*writer)->write(page));
    ASSERT_OK((*writer)->skip(kSize / 2 - kPage));
    ASSERT_OK((*writer)->end_region());
    ASSERT_OK((*writer)->finish());
  };
  write({});
  const Bytes base = file;
  const auto source = memory_source(base);
  const auto parent = Reader::open(*source);
  ASSERT_OK(parent);
  std::atomic<std::uint64_t> progress{0};
  const auto pages = ParentPages::index(**parent, {.threads = 2, .progress = &progress});
  ASSERT_OK(pages);
  EXPECT_EQ(progress, kSize);
  write({.parent = parent->get(), .parent_pages = pages->get()});
  const auto child_source = memory_source(file);
  const auto child = Reader::open(*child_source, {.parent = parent->get()});
  ASSERT_OK(child);
  EXPECT_EQ((*child)->digest(), (*parent)->digest());
  EXPECT_EQ((*child)->region_stats(0).block_records, 0u);
}

}  // namespace
}  // namespace snap::test

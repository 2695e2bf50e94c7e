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

/// Extents up to any place are those without a limit, cut there.
void expect_cut(Reader& reader, std::uint64_t size, std::uint64_t seed) {
  Random random(seed);
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t offset = random.below(size);
    const std::uint64_t end = random.one_in(8) ? size + random.below(100000) : offset + 1 + random.below(random.one_in(2) ? 20000 : size);
    const auto whole = reader.extent(0, offset);
    const auto cut = reader.extent(0, offset, end);
    ASSERT_OK(whole);
    ASSERT_OK(cut);
    ASSERT_EQ(cut->offset, offset);
    ASSERT_EQ(cut->data, whole->data) << offset << " to " << end;
    ASSERT_EQ(cut->length, std::min(whole->length, std::min(end, size) - offset)) << offset << " to " << end;
  }
  for (const auto& [offset, end] : {std::pair<std::uint64_t, std::uint64_t>{0, 0}, {5000, 5000}, {5000, 4999}, {size, size + 1}, {size + 1, kUnknownSize}}) {
    const auto refused = reader.extent(0, offset, end);
    ASSERT_FALSE(refused) << offset << " to " << end;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  }
  EXPECT_FALSE(reader.extent(7, 0, 1));
}

TEST(Extents, UpToAPlaceAreCutThere) {
  Bytes content(300 * 16384 + 5000);
  Random random(4);
  std::vector<Bytes> files;
  std::vector<std::unique_ptr<RandomSource>> sources;
  std::vector<std::unique_ptr<Reader>> readers;
  files.reserve(3);
  for (int depth = 0; depth < 3; ++depth) {
    for (int i = 0; i < 20; ++i) {
      const std::size_t at = random.below(content.size());
      const auto piece = std::span(content).subspan(at, std::min<std::size_t>(random.below(90000), content.size() - at));
      random.one_in(3) ? std::fill(piece.begin(), piece.end(), std::byte{0}) : random.fill(piece);
    }
    Reader* const parent = readers.empty() ? nullptr : readers.back().get();
    files.push_back(make_file(sample_of(content, parent)));
    sources.push_back(memory_source(files.back()));
    auto reader = Reader::open(*sources.back(), {.parent = parent});
    ASSERT_OK(reader);
    readers.push_back(std::move(*reader));
    expect_cut(*readers.back(), content.size(), static_cast<std::uint64_t>(depth));
  }
  const auto held = hold_in_memory(*readers.back(), {.threads = 2});
  ASSERT_OK(held);
  expect_cut(**held, content.size(), 10);
}

TEST(Extents, AreNotLookedForPastTheirEnd) {
  constexpr std::size_t kBlocks = 3000;
  Bytes content = make_content(Pattern::kRandom, kBlocks * 16384, 5);
  const Bytes base = make_file(sample_of(content));
  CountingSource base_source(base);
  const auto parent = Reader::open(base_source, {.cache_bytes = 0});
  ASSERT_OK(parent);
  for (std::size_t block = 0; block < kBlocks; block += 4) content[block * 16384] ^= std::byte{1};
  const Bytes child = make_file(sample_of(content, parent->get()));
  CountingSource source(child);
  const auto reader = Reader::open(source, {.cache_bytes = 0, .parent = parent->get()});
  ASSERT_OK(reader);
  base_source.reads = source.reads = 0;
  const auto extent = (*reader)->extent(0, 0, 8 * 16384);
  ASSERT_OK(extent);
  EXPECT_EQ(extent->length, 8u * 16384);
  EXPECT_LT(base_source.reads + source.reads, 8u * 10);
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

// SPDX-License-Identifier: Apache-2.0
// Snapshots that are differences: written, read in every way, restored.
#include <sys/mman.h>

#include <deque>

#include "support/chain.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

Sample sample_of(Codec codec, std::uint32_t block_bytes, const Bytes& memory) {
  Sample sample;
  sample.options.codec = codec;
  sample.options.block_bytes = block_bytes;
  sample.add(RegionKind::kMemory, "pc.ram", memory);
  sample.add(RegionKind::kState, "device", make_content(Pattern::kText, 9000, 7));
  sample.metadata["k"] = "v";
  return sample;
}

Bytes restored(Reader& reader, std::size_t region, bool zeroed, unsigned threads) {
  Bytes memory(reader.regions()[region].size, zeroed ? std::byte{0} : std::byte{0xEE});
  const auto done = restore_to_memory(reader, region, memory, {.threads = threads, .target_is_zero = zeroed});
  EXPECT_TRUE(done.has_value()) << explain(done.error());
  return memory;
}

TEST(Child, HoldsItsContentInEveryForm) {
  const Bytes base = make_content(Pattern::kMixed, 700 * kPage + 123, 1);
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    for (const DeltaForm form : {DeltaForm::kAuto, DeltaForm::kRaw, DeltaForm::kXor, DeltaForm::kDictionary}) {
      for (const bool held : {false, true}) {
        SCOPED_TRACE(testing::Message() << codec_name(codec) << " form " << static_cast<int>(form) << " held " << held);
        Chain chain(sample_of(codec, 65536, base));
        Sample next = sample_of(codec, 65536, worked_on(base, 2, 90));
        next.options.delta = form;
        chain.add(next, held);
        expect_holds(chain.file(), next, chain.parent());
        for (const bool zeroed : {false, true}) {
          EXPECT_TRUE(restored(chain.last(), 0, zeroed, 0) == next.regions[0].content);
          EXPECT_TRUE(restored(chain.last(), 0, zeroed, 3) == next.regions[0].content);
        }
      }
    }
  }
}

TEST(Child, HasTheDigestOfItsContent) {
  const Bytes base = make_content(Pattern::kMixed, 5000 * kPage + 5, 3);
  Sample next = sample_of(Codec::kLz4, 16384, worked_on(base, 4, 40));
  Chain alone(next);
  Chain chain(sample_of(Codec::kZstd, 65536, base));
  chain.add(next);
  EXPECT_EQ(chain.last().digest(), alone.last().digest());
  for (unsigned height = 0; height <= 14; ++height) {
    for (std::uint64_t number = 0; number <= 5000u >> height; number += 1 + (number * 7 + height) % 50) {
      const auto one = alone.last().range_digest(0, height, number);
      const auto other = chain.last().range_digest(0, height, number);
      ASSERT_OK(one);
      ASSERT_OK(other);
      ASSERT_EQ(*one, *other) << height << " " << number;
    }
  }
}

TEST(Child, IsTheSameFileWhateverTheThreadsAndHoweverTheParentIsHeld) {
  const Bytes base = make_content(Pattern::kMixed, 900 * kPage, 5);
  Bytes first;
  for (const unsigned threads : {0u, 1u, 3u}) {
    for (const bool held : {false, true}) {
      Chain chain(sample_of(Codec::kZstd, 16384, base));
      Sample next = sample_of(Codec::kZstd, 16384, worked_on(base, 6, 200));
      next.options.threads = threads;
      chain.add(next, held);
      if (first.empty()) first = chain.file();
      EXPECT_TRUE(chain.file() == first) << threads << " " << held;
    }
  }
}

TEST(Child, MayHaveBlocksOfAnotherSizeThanItsParent) {
  const Bytes base = make_content(Pattern::kMixed, 600 * kPage + 9, 8);
  for (const std::uint32_t parent_block : {16384u, 65536u, 1u << 20}) {
    for (const std::uint32_t child_block : {16384u, 65536u, 1u << 20}) {
      Chain chain(sample_of(Codec::kZstd, parent_block, base));
      Sample next = sample_of(Codec::kZstd, child_block, worked_on(base, 9, 60));
      chain.add(next);
      expect_holds(chain.file(), next, chain.parent());
      EXPECT_TRUE(restored(chain.last(), 0, true, 2) == next.regions[0].content);
    }
  }
}

TEST(Child, OfAChildAndSoOn) {
  Bytes content = make_content(Pattern::kMixed, 400 * kPage + 77, 10);
  Chain chain(sample_of(Codec::kLz4, 16384, content));
  for (unsigned depth = 1; depth <= 8; ++depth) {
    content = worked_on(content, 10 + depth, 30);
    Sample next = sample_of(depth % 2 == 0 ? Codec::kLz4 : Codec::kZstd, 16384, content);
    chain.add(next, depth % 3 == 0);
    EXPECT_EQ(chain.last().depth(), depth);
    expect_holds(chain.file(), next, chain.parent());
    EXPECT_TRUE(restored(chain.last(), 0, depth % 2 == 0, 2) == content);
  }
  auto held = hold_in_memory(chain.last(), {.threads = 2});
  ASSERT_OK(held);
  EXPECT_TRUE(std::equal(content.begin(), content.end(), (*held)->held(0).begin(), (*held)->held(0).end()));
}

TEST(Child, UnchangedHasNoBlocks) {
  const Bytes base = make_content(Pattern::kMixed, 300 * kPage + 1, 11);
  Chain chain(sample_of(Codec::kZstd, 65536, base));
  chain.add(sample_of(Codec::kZstd, 65536, base));
  EXPECT_EQ(chain.last().region_stats(0).block_records, 0u);
  EXPECT_EQ(chain.last().digest(), chain.parent()->digest());
  expect_holds(chain.file(), sample_of(Codec::kZstd, 65536, base), chain.parent());
}

TEST(Child, MayHaveOtherRegions) {
  for (const std::size_t parent_pages : {0u, 1u, 15u, 16u, 17u, 64u, 200u}) {
    for (const std::size_t child_pages : {0u, 1u, 15u, 16u, 17u, 64u, 200u}) {
      for (const std::size_t odd : {0u, 1u, 4095u}) {
        for (const bool unknown : {false, true}) {
          Bytes content = make_content(Pattern::kText, 201 * kPage, 12);
          Sample base = sample_of(Codec::kZstd, 65536, Bytes(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(parent_pages * kPage + odd)));
          base.add(RegionKind::kMemory, "vanishes", make_content(Pattern::kText, 5 * kPage, 13));
          content[3 * kPage] = std::byte{1};
          Sample next = sample_of(Codec::kZstd, 65536, Bytes(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(child_pages * kPage + (odd * 3) % kPage)));
          next.regions[0].size_unknown = unknown;
          if (unknown) next.regions[0].info.placements.clear();
          next.add(RegionKind::kMemory, "appears", base.regions[2].content);
          SCOPED_TRACE(testing::Message() << parent_pages << " " << child_pages << " " << odd << " " << unknown);
          Chain chain(base);
          chain.add(next);
          expect_holds(chain.file(), next, chain.parent());
          EXPECT_TRUE(restored(chain.last(), 0, false, 0) == next.regions[0].content);
          Chain alone(next);
          EXPECT_EQ(alone.last().digest(), chain.last().digest());
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Child, SkipsZerosOnlyWhereTheParentHasThem) {
  Sample base = sample_of(Codec::kZstd, 65536, make_content(Pattern::kText, 300 * kPage, 14));
  Chain chain(base);
  Bytes file;
  auto sink = memory_sink(file);
  WriterOptions options;
  options.parent = &chain.last();
  auto writer = Writer::create(*sink, options);
  ASSERT_OK(writer);
  ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "pc.ram", 5000 * kPage, 12, {}}));
  ASSERT_OK((*writer)->skip(5000 * kPage));
  ASSERT_OK((*writer)->end_region());
  ASSERT_OK((*writer)->finish());
  EXPECT_LT(file.size(), 10000u);
  Sample next;
  next.add(RegionKind::kMemory, "pc.ram", Bytes(5000 * kPage));
  next.regions[0].info.placements.clear();
  expect_holds(file, next, &chain.last());
}

TEST(Child, FindsWhatMoved) {
  Bytes content = make_content(Pattern::kRandom, 256 * kPage, 15);
  Chain chain(sample_of(Codec::kZstd, 65536, content));
  std::rotate(content.begin(), content.begin() + 5 * kPage, content.end());
  Sample next = sample_of(Codec::kZstd, 65536, content);
  chain.add(next);
  EXPECT_LT(chain.file().size(), 8 * kPage);
  expect_holds(chain.file(), next, chain.parent());
}

TEST(Child, AppliesItsChangesOverTheParentsMemory) {
  const Bytes base = make_content(Pattern::kMixed, 800 * kPage + 17, 16);
  Chain chain(sample_of(Codec::kZstd, 65536, base));
  Sample next = sample_of(Codec::kZstd, 65536, worked_on(base, 17, 120));
  chain.add(next);
  auto held = hold_in_memory(chain.reader(0), {.threads = 1});
  ASSERT_OK(held);
  for (const unsigned threads : {0u, 2u}) {
    void* const at = ::mmap(nullptr, base.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE, (*held)->memory_fd(0), 0);
    ASSERT_NE(at, MAP_FAILED);
    const std::span memory(static_cast<std::byte*>(at), base.size());
    ASSERT_OK(apply_changes(chain.last(), 0, memory, {.threads = threads}));
    EXPECT_TRUE(std::equal(memory.begin(), memory.end(), next.regions[0].content.begin()));
    ::munmap(at, base.size());
  }
  EXPECT_TRUE(std::equal(base.begin(), base.end(), (*held)->held(0).begin())) << "the base is as it was";
}

// A snapshot that is held is a snapshot like others; so is any other kind of reader.
TEST(Child, HeldIsRestoredAndHeldAgain) {
  const Bytes base = make_content(Pattern::kMixed, 600 * kPage + 17, 23);
  Chain chain(sample_of(Codec::kZstd, 65536, base));
  const Sample next = sample_of(Codec::kZstd, 65536, worked_on(base, 24, 50));
  chain.add(next);
  for (const unsigned threads : {0u, 2u}) {
    const RestoreOptions options{.threads = threads};
    auto held = hold_in_memory(chain.last(), options);
    ASSERT_OK(held);
    auto again = hold_in_memory(**held, options);
    ASSERT_OK(again);
    for (std::size_t region = 0; region < 2; ++region) {
      const Bytes& content = next.regions[region].content;
      EXPECT_TRUE(restored(**again, region, true, threads) == content);
      Bytes out;
      auto sink = memory_sink(out);
      ASSERT_OK(restore_to_sink(**again, region, *sink, options));
      EXPECT_TRUE(out == content);
      const TemporaryFile file;
      ASSERT_OK(restore_to_file(**again, region, file.fd(), 5000, options));
      const Bytes written = file.bytes();
      EXPECT_EQ(written.size(), 5000 + content.size());
      EXPECT_TRUE(std::equal(content.begin(), content.end(), written.begin() + 5000));
    }
  }
}

TEST(Child, TellsItsChanges) {
  const Bytes base = make_content(Pattern::kMixed, 500 * kPage + 100, 18);
  const Bytes content = worked_on(base, 19, 40);
  Chain chain(sample_of(Codec::kLz4, 16384, base));
  chain.add(sample_of(Codec::kLz4, 16384, content));
  std::vector<bool> told(501);
  ASSERT_OK(visit_changes(chain.last(), 0, [&](const ChangedRange& range) -> Result<void> {
    EXPECT_EQ(range.offset % kPage, 0u);
    EXPECT_LE(range.offset + range.length, content.size());
    for (std::uint64_t at = range.offset; at < range.offset + range.length; at += kPage) told[at / kPage] = true;
    return {};
  }));
  for (std::size_t page = 0; page < 501; ++page) {
    const std::size_t end = std::min(content.size(), (page + 1) * kPage);
    const auto first = static_cast<std::ptrdiff_t>(page * kPage);
    const bool same = std::equal(base.begin() + first, base.begin() + static_cast<std::ptrdiff_t>(end), content.begin() + first);
    EXPECT_EQ(told[page], !same) << page;
  }
}

TEST(Child, ReadsAnyPieceAndBatches) {
  Bytes content = make_content(Pattern::kMixed, 300 * kPage + 77, 20);
  Chain chain(sample_of(Codec::kZstd, 65536, content));
  for (int i = 0; i < 3; ++i) chain.add(sample_of(Codec::kZstd, 65536, content = worked_on(content, 21 + static_cast<std::uint64_t>(i), 40)));
  Random random(22);
  std::vector<RegionRead> batch;
  std::deque<Bytes> buffers;
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t offset = random.below(content.size());
    const std::size_t bytes = random.below(std::min<std::size_t>(content.size() - offset, random.one_in(4) ? 200000 : 5000) + 1);
    Bytes out(bytes, std::byte{0xEE});
    ASSERT_OK(chain.last().read(0, offset, out));
    ASSERT_TRUE(std::equal(out.begin(), out.end(), content.begin() + static_cast<std::ptrdiff_t>(offset)));
    if (i % 10 != 0) continue;
    buffers.emplace_back(bytes, std::byte{0xEE});
    batch.push_back({0, offset, buffers.back()});
  }
  ASSERT_OK(chain.last().read_batch(batch));
  for (std::size_t i = 0; i < batch.size(); ++i) {
    EXPECT_TRUE(std::equal(buffers[i].begin(), buffers[i].end(), content.begin() + static_cast<std::ptrdiff_t>(batch[i].offset)));
  }
}

TEST(Child, OfADeepChainTellsItsExtentsAtOnce) {
  Bytes content(64 * 4 * kPage);
  Random random(23);
  for (std::size_t block = 0; block < 64; block += 2) random.fill(std::span(content).subspan(block * 4 * kPage, 4 * kPage));
  Chain chain(sample_of(Codec::kStore, 16384, content));
  for (int depth = 0; depth < 40; ++depth) chain.add(sample_of(Codec::kStore, 16384, content), false, false);
  for (std::uint64_t at = 0; at < content.size();) {
    const auto extent = chain.last().extent(0, at);
    ASSERT_OK(extent);
    EXPECT_EQ(extent->length, 4 * kPage);
    EXPECT_EQ(extent->data, at / (4 * kPage) % 2 == 0);
    at += extent->length;
  }
}

// What a block costs in a chain must stay far below the limit at which readers give up.
TEST(Child, CanBeReadWhateverItsBlocksAndThoseBelow) {
  for (const std::uint32_t large : {1u << 18, 1u << 22}) {
    Bytes content = make_content(Pattern::kRandom, 3000 * kPage, 24);
    Chain chain(sample_of(Codec::kZstd, 16384, content));
    for (int depth = 0; depth < 3; ++depth) {
      content = worked_on(content, 25 + static_cast<std::uint64_t>(depth), 300);
      // Everything moves by a few bytes: a block then shares its pieces with pages all over the parent.
      std::rotate(content.begin() + 1000 * kPage, content.begin() + 1000 * kPage + 40, content.begin() + 1400 * kPage);
      Sample next = sample_of(Codec::kZstd, large, content);
      chain.add(next);
      expect_holds(chain.file(), next, chain.parent());
      EXPECT_TRUE(restored(chain.last(), 0, false, 2) == content);
    }
  }
}

}  // namespace
}  // namespace snap::test

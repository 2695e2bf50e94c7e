// SPDX-License-Identifier: Apache-2.0
// Any range, from any thread, from any kind of source, with any cache: the same bytes, and no more reads than needed.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/damage.h"
#include "support/faulty.h"
#include "support/sample.h"
#include "support/sanitized.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

Sample mixed_sample(unsigned block_log2, Codec codec = Codec::kLz4) {
  Sample sample;
  sample.options.block_bytes = 1u << block_log2;
  sample.options.codec = codec;
  sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, (std::size_t{5} << 19) + 1234, 1));
  sample.add(RegionKind::kMemory, "vga", make_content(Pattern::kRepeats, 700000, 2));
  sample.add(RegionKind::kState, "dev", make_content(Pattern::kText, 5000, 3));
  // Some pages of the second region are copies of the first's end.
  std::copy_n(sample.regions[0].content.end() - 1234 - 64 * kPage, 32 * kPage, sample.regions[1].content.begin() + 64 * kPage);
  return sample;
}

struct Range {
  std::size_t region;
  std::size_t offset;
  std::size_t bytes;
};

Range random_range(Random& random, const Sample& sample) {
  const std::size_t region = random.below(sample.regions.size());
  const std::size_t size = sample.regions[region].content.size();
  const std::size_t offset = random.below(size);
  const std::size_t most = random.one_in(3) ? 400000 : random.one_in(2) ? 5000 : 64;
  Range range{region, offset, std::min(size - offset, random.below(most))};
  if (random.one_in(3)) range.offset = range.offset / kPage * kPage;
  if (random.one_in(4)) {  // whole blocks, which go straight to the caller
    range.offset = offset / sample.options.block_bytes * sample.options.block_bytes;
    range.bytes = std::min<std::size_t>(size - range.offset, (1 + random.below(3)) * sample.options.block_bytes);
  }
  return range;
}

void expect_range(const Sample& sample, const Range& range, std::span<const std::byte> got) {
  const auto& content = sample.regions[range.region].content;
  EXPECT_TRUE(std::equal(got.begin(), got.end(), content.begin() + static_cast<std::ptrdiff_t>(range.offset)))
      << "region " << range.region << " at " << range.offset << "+" << range.bytes;
}

enum class SourceKind { kMemory, kFile, kUring };

struct Opened {
  Opened(const Bytes& bytes, SourceKind kind, std::size_t cache) : file(bytes) {
    source = kind == SourceKind::kMemory ? memory_source(bytes) : kind == SourceKind::kFile ? file_source(file.fd()) : uring_source(file.fd());
    auto opened = Reader::open(*source, {cache});
    EXPECT_OK(opened);
    reader = std::move(*opened);
  }
  TemporaryFile file;
  std::unique_ptr<RandomSource> source;
  std::unique_ptr<Reader> reader;
};

using Parameters = std::tuple<SourceKind, std::size_t, unsigned>;
class ReaderRanges : public testing::TestWithParam<Parameters> {};

INSTANTIATE_TEST_SUITE_P(All, ReaderRanges,
                         testing::Combine(testing::Values(SourceKind::kMemory, SourceKind::kFile, SourceKind::kUring),
                                          testing::Values(std::size_t{0}, std::size_t{200000}, std::size_t{64} << 20), testing::Values(14u, 16u, 20u)));

TEST_P(ReaderRanges, AreRight) {
  const auto& [kind, cache, log2] = GetParam();
  const Sample sample = mixed_sample(log2);
  const Bytes file = make_file(sample);
  Opened opened(file, kind, cache);
  Random random(log2 + cache);
  for (int i = 0; i < (kSanitized ? 60 : 400); ++i) {
    const Range range = random_range(random, sample);
    Bytes out(range.bytes, std::byte{0xEE});
    ASSERT_OK(opened.reader->read(range.region, range.offset, out));
    expect_range(sample, range, out);
    if (HasFailure()) return;
  }
}

TEST_P(ReaderRanges, AreRightInBatches) {
  const auto& [kind, cache, log2] = GetParam();
  const Sample sample = mixed_sample(log2);
  const Bytes file = make_file(sample);
  Opened opened(file, kind, cache);
  Random random(log2 + cache + 1);
  for (int i = 0; i < (kSanitized ? 6 : 25); ++i) {
    std::vector<Range> ranges(random.below(150));
    std::vector<Bytes> out(ranges.size());
    std::vector<RegionRead> batch;
    for (std::size_t n = 0; n < ranges.size(); ++n) {
      ranges[n] = n > 0 && random.one_in(5) ? ranges[random.below(n)] : random_range(random, sample);
      out[n].assign(ranges[n].bytes, std::byte{0xEE});
      batch.push_back({ranges[n].region, ranges[n].offset, out[n]});
    }
    ASSERT_OK(opened.reader->read_batch(batch));
    for (std::size_t n = 0; n < ranges.size(); ++n) expect_range(sample, ranges[n], out[n]);
    if (HasFailure()) return;
  }
}

TEST_P(ReaderRanges, AreRightFromManyThreads) {
  const auto& [kind, cache, log2] = GetParam();
  const Sample sample = mixed_sample(log2);
  const Bytes file = make_file(sample);
  Opened opened(file, kind, cache);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned number = 0; number < 16; ++number) {
    threads.emplace_back([&, number] {
      Random random(number);
      for (int i = 0; i < (kSanitized ? 10 : 40); ++i) {
        const Range range = random_range(random, sample);
        Bytes out(range.bytes, std::byte{0xEE});
        const RegionRead read{range.region, range.offset, out};
        const auto result = random.one_in(2) ? opened.reader->read(range.region, range.offset, out) : opened.reader->read_batch({&read, 1});
        const auto& content = sample.regions[range.region].content;
        if (!result || !std::equal(out.begin(), out.end(), content.begin() + static_cast<std::ptrdiff_t>(range.offset))) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Reader, OpensWithThreeReads) {
  const Bytes file = make_file(mixed_sample(16));
  auto inner = memory_source(file);
  CountingSource source(*inner);
  ASSERT_OK(Reader::open(source));
  EXPECT_EQ(source.reads, 3u);
  EXPECT_LT(source.bytes, 4096u);
}

// What a page costs cold: the nodes down to its block, the block, and at most the one block it copies from.
TEST(Reader, ReadsAPageWithAFixedNumberOfReads) {
  Sample sample;
  sample.options.block_bytes = 1u << 14;
  sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, std::size_t{8} << 20, 1));
  const Bytes file = make_file(sample);
  auto inner = memory_source(file);
  CountingSource source(*inner);
  auto reader = Reader::open(source);
  ASSERT_OK(reader);
  std::uint64_t most = 0;
  for (std::size_t at = 0; at < sample.regions[0].content.size(); at += kPage) {
    auto cold = Reader::open(source);
    ASSERT_OK(cold);
    source.reset();
    Bytes page(kPage);
    ASSERT_OK((*cold)->read(0, at, page));
    most = std::max<std::uint64_t>(most, source.reads);
    EXPECT_EQ(page, Bytes(sample.regions[0].content.begin() + at, sample.regions[0].content.begin() + at + kPage));
    ASSERT_OK((*cold)->read(0, at, page));  // of a block that is touched once no more than the page was decoded
    source.reset();
    ASSERT_OK((*cold)->read(0, at, page));
    EXPECT_EQ(source.reads, 0u) << "warm";
  }
  EXPECT_LE(most, 2u + 1 + 1 + 1);  // two levels; the block; the source's leaf and block
}

TEST(Reader, ReadsABlockOnceHoweverManyAsk) {
  const Sample sample = mixed_sample(20, Codec::kZstd);
  const Bytes file = make_file(sample);
  std::set<std::uint64_t> blocks;
  for (const RecordPlace& place : records_of(file)) {
    if (place.head.type == wire::kBlock) blocks.insert(place.offset);
  }
  auto inner = memory_source(file);
  for (int round = 0; round < 5; ++round) {
    CountingSource source(*inner, 300);
    auto reader = Reader::open(source);
    ASSERT_OK(reader);
    source.reset();
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < 16; ++number) {
      threads.emplace_back([&, number] {
        Bytes page(kPage);
        for (std::size_t at = 0; at < 2; ++at) EXPECT_OK((*reader)->read(0, (at << 20) + number * 3 * kPage, page));
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::uint64_t offset : blocks) EXPECT_LE(source.offsets.count(offset), 1u);
  }
}

TEST(Reader, SubmitsABatchAtOnce) {
  Sample sample;
  sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kRandom, std::size_t{2} << 20, 1));
  const Bytes file = make_file(sample);
  auto inner = memory_source(file);
  CountingSource source(*inner);
  auto reader = Reader::open(source);
  ASSERT_OK(reader);
  source.reset();
  std::vector<Bytes> out(32, Bytes(kPage));
  std::vector<RegionRead> batch;
  for (std::size_t i = 0; i < out.size(); ++i) batch.push_back({0, (31 - i) * 65536 + i * kPage % 65536, out[i]});
  ASSERT_OK((*reader)->read_batch(batch));
  EXPECT_EQ(source.batches, 1u);
  EXPECT_EQ(source.reads, 32u + 1);
}

TEST(Reader, RefusesRangesOutsideARegion) {
  const Sample sample = mixed_sample(16);
  const Bytes file = make_file(sample);
  Opened opened(file, SourceKind::kMemory, 1 << 20);
  const std::uint64_t size = sample.regions[0].content.size();
  Bytes out(2);
  for (const auto& [region, offset] : std::initializer_list<std::pair<std::size_t, std::uint64_t>>{
           {0, size - 1}, {0, size}, {0, size + 1}, {0, ~std::uint64_t{0}}, {3, 0}, {~std::size_t{0}, 0}}) {
    const auto result = opened.reader->read(region, offset, out);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
    const RegionRead read{region, offset, out};
    EXPECT_FALSE(opened.reader->read_batch({&read, 1}));
  }
  EXPECT_OK(opened.reader->read(0, size, {}));
  EXPECT_OK(opened.reader->read_batch({}));
  EXPECT_FALSE(opened.reader->extent(0, size));
  EXPECT_FALSE(opened.reader->extent(9, 0));
  EXPECT_FALSE(opened.reader->block_digest(0, 1u << 20));
  EXPECT_FALSE(opened.reader->block_digest(9, 0));
}

TEST(Reader, ExtentsTileTheRegionAndTellZerosFromData) {
  for (const unsigned log2 : {14u, 16u, 20u}) {
    Sample sample;
    sample.options.block_bytes = 1u << log2;
    Bytes ram((std::size_t{3000} << 12) * 4 + 100);
    Random random(log2);
    for (int i = 0; i < 30; ++i) std::fill_n(ram.begin() + static_cast<std::ptrdiff_t>(random.below(ram.size() - 200000)), random.below(200000), std::byte{1});
    sample.add(RegionKind::kMemory, "ram", std::move(ram));
    const Bytes file = make_file(sample);
    Opened opened(file, SourceKind::kMemory, 0);
    const Bytes& content = sample.regions[0].content;
    bool first = true;
    bool before = false;
    std::uint64_t blocks = 0;
    for (std::uint64_t at = 0; at < content.size();) {
      const auto extent = opened.reader->extent(0, at);
      ASSERT_OK(extent);
      ASSERT_EQ(extent->offset, at);
      ASSERT_GT(extent->length, 0u);
      EXPECT_TRUE(first || before != extent->data);
      const auto begin = content.begin() + static_cast<std::ptrdiff_t>(at);
      const bool zero = std::all_of(begin, begin + static_cast<std::ptrdiff_t>(extent->length), [](std::byte b) { return b == std::byte{0}; });
      EXPECT_EQ(zero, !extent->data);
      // From inside, the rest of it.
      const auto inside = opened.reader->extent(0, at + extent->length / 2);
      ASSERT_OK(inside);
      EXPECT_EQ(inside->offset + inside->length, at + extent->length);
      if (extent->data) blocks += (extent->length + (1u << log2) - 1) >> log2;
      before = extent->data;
      first = false;
      at += extent->length;
    }
    EXPECT_EQ(opened.reader->region_stats(0).block_records, blocks);
  }
}

TEST(Reader, BlockDigestsTellEqualContent) {
  Sample sample = mixed_sample(16);
  const Bytes one = make_file(sample);
  sample.regions[0].content[70000] ^= std::byte{1};
  sample.options.codec = Codec::kZstd;
  sample.options.dedup = false;
  const Bytes two = make_file(sample);
  Opened a(one, SourceKind::kMemory, 1 << 20);
  Opened b(two, SourceKind::kMemory, 1 << 20);
  for (std::uint64_t block = 0; block << 16 < sample.regions[0].content.size(); ++block) {
    const auto left = a.reader->block_digest(0, block);
    const auto right = b.reader->block_digest(0, block);
    ASSERT_OK(left);
    ASSERT_OK(right);
    EXPECT_EQ(*left == *right, block != 1) << block;
  }
  EXPECT_NE(a.reader->digest(), b.reader->digest());
  EXPECT_NE(a.reader->region_digest(0), b.reader->region_digest(0));
  EXPECT_EQ(a.reader->region_digest(1), b.reader->region_digest(1));
}

TEST(Reader, FindsRegionsAndReadsStates) {
  const Sample sample = mixed_sample(16);
  const Bytes file = make_file(sample);
  Opened opened(file, SourceKind::kMemory, 1 << 20);
  EXPECT_EQ(opened.reader->find(RegionKind::kMemory, "vga"), 1u);
  EXPECT_EQ(opened.reader->find(RegionKind::kState, "vga"), std::nullopt);
  const auto state = read_state(*opened.reader, "dev");
  ASSERT_OK(state);
  EXPECT_TRUE(*state == sample.regions[2].content);
  EXPECT_EQ(read_state(*opened.reader, "dev", 4999).error().code, Code::kLimit);
  EXPECT_EQ(read_state(*opened.reader, "none").error().code, Code::kNotFound);
  EXPECT_EQ(opened.reader->file_bytes(), file.size());
  EXPECT_TRUE(looks_like_snapshot(std::span(file).first(8)));
  EXPECT_FALSE(looks_like_snapshot(std::span(file).first(7)));
  EXPECT_FALSE(looks_like_snapshot(std::span(file).subspan(1)));
}

TEST(Reader, GivesBackAfterAnErrorThatPassed) {
  // The failed load is not remembered.
  const Sample sample = mixed_sample(16);
  const Bytes file = make_file(sample);
  auto inner = memory_source(file);
  Fault fault;
  FaultySource source(*inner, fault);
  auto reader = Reader::open(source);
  ASSERT_OK(reader);
  Bytes out(100000);
  for (std::uint64_t at = 0; at < 4; ++at) {
    auto fresh = Reader::open(source);
    ASSERT_OK(fresh);
    fault.arm(at, Fault::Kind::kError, false);
    const auto failed = (*fresh)->read(0, 4321, out);
    EXPECT_EQ(failed.has_value(), !fault.hit());
    fault.arm(Fault::kNever, Fault::Kind::kError, false);
    ASSERT_OK((*fresh)->read(0, 4321, out));
    expect_range(sample, {0, 4321, out.size()}, out);
  }
}

}  // namespace
}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// Memory and time stay within what is promised, whatever the size of the guest.
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "faults/counting_new.h"
#include "support/sample.h"
#include "support/sanitized.h"

namespace snap::test {
namespace {

constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;
constexpr std::size_t kMiB = std::size_t{1} << 20;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::uint64_t place_of(std::uint64_t i) { return (i * 0x9E3779B97F4A7C15u) % (kTiB / kPage) * kPage; }

class Sparse : public testing::Test {
 protected:
  // A page of data every 4 GiB or so.
  Sparse() {
    for (std::uint64_t i = 0; i < 256; ++i) places.push_back(place_of(i + 1));
    std::sort(places.begin(), places.end());
    const auto start = std::chrono::steady_clock::now();
    auto sink = memory_sink(file);
    auto writer = Writer::create(*sink, {});
    EXPECT_OK(writer);
    EXPECT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", kTiB, 12, {}}));
    std::uint64_t at = 0;
    for (const std::uint64_t place : places) {
      EXPECT_OK((*writer)->skip(place - at));
      EXPECT_OK((*writer)->write(page(place)));
      at = place + kPage;
    }
    EXPECT_OK((*writer)->skip(kTiB - at));
    EXPECT_OK((*writer)->end_region());
    EXPECT_OK((*writer)->finish());
    create_seconds = seconds_since(start);
    source = memory_source(file);
  }
  static Bytes page(std::uint64_t place) { return make_content(Pattern::kText, kPage, place); }
  std::vector<std::uint64_t> places;
  Bytes file;
  std::unique_ptr<RandomSource> source;
  double create_seconds = 0;
};

TEST_F(Sparse, ATebibyteIsCreatedAtOnce) {
  EXPECT_LT(create_seconds, 5.0);
  EXPECT_LT(file.size(), 2 * kMiB);
}

TEST_F(Sparse, ATebibyteOpensInTwoMillisecondsAndFourMebibytes) {
  double best = 1;
  reset_peak();
  const std::size_t before = live_bytes();
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto reader = Reader::open(*source);
    best = std::min(best, seconds_since(start));
    ASSERT_OK(reader);
  }
  EXPECT_LT(best, 0.002);
  EXPECT_LT(peak_bytes() - before, 4 * kMiB);
}

TEST_F(Sparse, ATebibyteIsReadAtRandom) {
  auto reader = Reader::open(*source, {4 * kMiB});
  ASSERT_OK(reader);
  Bytes out(kPage);
  for (const std::uint64_t place : places) {
    ASSERT_OK((*reader)->read(0, place, out));
    EXPECT_TRUE(out == page(place));
  }
  for (std::uint64_t i = 1000; i < 3000; ++i) {
    const std::uint64_t place = place_of(i);
    ASSERT_OK((*reader)->read(0, place, out));
    EXPECT_TRUE(out == (std::binary_search(places.begin(), places.end(), place) ? page(place) : Bytes(kPage)));
  }
}

TEST_F(Sparse, ATebibytesExtentsAreFoundWithoutLookingAtEveryBlock) {
  auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  const auto start = std::chrono::steady_clock::now();
  std::size_t extents = 0;
  for (std::uint64_t at = 0; at < kTiB; ++extents) {
    const auto extent = (*reader)->extent(0, at);
    ASSERT_OK(extent);
    at += extent->length;
  }
  EXPECT_GE(extents, 2 * places.size() - 1);
  EXPECT_LT(seconds_since(start), 2.0);
}

TEST_F(Sparse, ATebibyteIsCheckedAndReadThroughAtOnce) {
  const auto start = std::chrono::steady_clock::now();
  const CheckReport report = check_file(file);
  EXPECT_TRUE(report.clean()) << describe(report);
  class Counting final : public StreamVisitor {
   public:
    Result<void> region_begin(std::size_t, const RegionInfo&) override { return {}; }
    Result<void> region_bytes(std::size_t, std::uint64_t, std::span<const std::byte> bytes) override {
      count += bytes.size();
      return {};
    }
    Result<void> region_end(std::size_t, std::uint64_t) override { return {}; }
    std::uint64_t count = 0;
  } visitor;
  ASSERT_OK(stream(file, visitor));
  EXPECT_LE(visitor.count, places.size() * 65536);
  EXPECT_LT(seconds_since(start), 5.0);
}

class NullSink final : public ByteSink {
 public:
  Result<void> write(std::span<const std::byte>) override { return {}; }
};

// Gives any number of bytes that no two pages of which are equal.
class EndlessSource final : public RandomSource {
 public:
  explicit EndlessSource(std::uint64_t size) : size_(size), pattern_(make_content(Pattern::kMixed, kMiB, 1)) {}
  Result<std::uint64_t> size() override { return size_; }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    for (std::size_t at = 0; at < out.size(); at += kPage) {
      const auto page = out.subspan(at, std::min(kPage, out.size() - at));
      std::memcpy(page.data(), pattern_.data() + (offset + at) % kMiB / kPage * kPage, page.size());
      const std::uint64_t place = offset + at + 1;
      std::memcpy(page.data(), &place, std::min<std::size_t>(sizeof place, page.size()));
    }
    return out.size();
  }

 private:
  std::uint64_t size_;
  Bytes pattern_;
};

TEST(Memory, OfAWriterStaysWithinItsLimit) {
  const std::uint64_t size = kSanitized ? 64 * kMiB : 256 * kMiB;
  for (const auto& [block, threads] : {std::pair(std::uint32_t{64 * 1024}, 2u), {std::uint32_t{64 * 1024}, 8u}, {std::uint32_t{4u << 20}, 2u}}) {
    EndlessSource source(size);
    NullSink sink;
    reset_peak();
    const std::size_t before = live_bytes();
    const std::size_t mapped = ::mallinfo2().hblkhd;
    auto writer = Writer::create(sink, {.block_bytes = block, .codec = Codec::kLz4, .threads = threads});
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", size, 12, {}}));
    ASSERT_OK((*writer)->write_from(source, 0, size));
    ASSERT_OK((*writer)->end_region());
    ASSERT_OK((*writer)->finish());
    EXPECT_LT(peak_bytes() - before, 64 * kMiB + std::size_t{8} * block * threads) << block << " " << threads;
    static_cast<void>(mapped);
  }
}

TEST(Memory, OfAReaderStaysWithinItsCache) {
  const std::uint64_t size = 64 * kMiB;
  Bytes file;
  {
    EndlessSource source(size);
    auto sink = memory_sink(file);
    auto writer = Writer::create(*sink, {.codec = Codec::kLz4, .threads = 2});
    ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", size, 12, {}}));
    ASSERT_OK((*writer)->write_from(source, 0, size));
    ASSERT_OK((*writer)->end_region());
    ASSERT_OK((*writer)->finish());
  }
  auto source = memory_source(file);
  for (const std::size_t cache : {std::size_t{0}, kMiB, 8 * kMiB}) {
    reset_peak();
    const std::size_t before = live_bytes();
    auto reader = Reader::open(*source, {cache});
    ASSERT_OK(reader);
    constexpr unsigned kThreads = 4;
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < kThreads; ++number) {
      threads.emplace_back([&, number] {
        Bytes out(kPage);
        Random random(number);
        for (int i = 0; i < 1500; ++i) EXPECT_OK((*reader)->read(0, random.below(size / kPage) * kPage, out));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LT(peak_bytes() - before, cache + kThreads * 4 * 65536 + kMiB) << cache;
  }
}

TEST(Memory, OfAStreamReaderStaysWithinTheWindow) {
  const std::uint64_t size = kSanitized ? 64 * kMiB : 512 * kMiB;
  Bytes file;
  {
    EndlessSource source(size);
    auto sink = memory_sink(file);
    auto writer = Writer::create(*sink, {.codec = Codec::kLz4, .threads = 2});
    ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", size, 12, {}}));
    ASSERT_OK((*writer)->write_from(source, 0, size));
    ASSERT_OK((*writer)->end_region());
    ASSERT_OK((*writer)->finish());
  }
  class Ignore final : public StreamVisitor {
    Result<void> region_begin(std::size_t, const RegionInfo&) override { return {}; }
    Result<void> region_bytes(std::size_t, std::uint64_t, std::span<const std::byte>) override { return {}; }
    Result<void> region_end(std::size_t, std::uint64_t) override { return {}; }
  } visitor;
  reset_peak();
  const std::size_t before = live_bytes();
  ASSERT_OK(stream(file, visitor));
  EXPECT_LT(peak_bytes() - before, 260 * kMiB);
  reset_peak();
  EXPECT_TRUE(check_file(file, 2).clean());
  EXPECT_LT(peak_bytes() - before, 64 * kMiB);
}

}  // namespace
}  // namespace snap::test

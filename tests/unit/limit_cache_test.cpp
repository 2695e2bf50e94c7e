// SPDX-License-Identifier: Apache-2.0
// Caches whose limit changes while they are in use.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "read/block_memory.h"
#include "support/faulty.h"
#include "support/sample.h"

namespace snap::test {
namespace {

constexpr std::size_t kBlock = 16384;
constexpr std::size_t kBlocks = 100;
constexpr std::size_t kAmple = std::size_t{64} << 20;

/// A snapshot in memory, over a parent or alone, whose reads are counted.
struct Opened {
  Opened(const Bytes& content, Opened* parent = nullptr) {
    Sample sample;
    sample.options.block_bytes = kBlock;
    sample.options.parent = parent == nullptr ? nullptr : parent->reader.get();
    sample.add(RegionKind::kMemory, "ram", content);
    file = make_file(sample);
    inner = memory_source(file);
    source = std::make_unique<CountingSource>(*inner);
    auto opened = Reader::open(*source, {.cache_bytes = kAmple, .parent = sample.options.parent});
    EXPECT_OK(opened);
    reader = std::move(*opened);
  }
  /// A page of each block: what is kept costs no read.
  std::uint64_t reads_for(const Bytes& content) {
    source->reset();
    for (std::size_t at = 0; at < content.size(); at += kBlock) {
      Bytes page(kPage);
      EXPECT_OK(reader->read(0, at, page));
      EXPECT_TRUE(std::equal(page.begin(), page.end(), content.begin() + static_cast<std::ptrdiff_t>(at)));
    }
    return source->reads;
  }
  Bytes file;
  std::unique_ptr<RandomSource> inner;
  std::unique_ptr<CountingSource> source;
  std::unique_ptr<Reader> reader;
};

Bytes changed(Bytes content) {
  for (std::size_t at = 0; at < content.size(); at += kBlock) content[at + 7] ^= std::byte{1};
  return content;
}

TEST(CacheLimit, LetsGoOfWhatIsOverIt) {
  const Bytes content = make_content(Pattern::kText, kBlocks * kBlock, 1);
  Opened file(content);
  file.reads_for(content);
  EXPECT_EQ(file.reads_for(content), 0u);
  file.reader->limit_cache(kAmple);
  EXPECT_EQ(file.reads_for(content), 0u) << "no other limit";
  file.reader->limit_cache(0);
  EXPECT_GE(file.reads_for(content), kBlocks);
  EXPECT_GE(file.reads_for(content), kBlocks) << "nothing is kept";
  file.reader->limit_cache(kAmple);
  file.reads_for(content);
  EXPECT_EQ(file.reads_for(content), 0u) << "kept again";
}

TEST(CacheLimit, KeepsTheRestWhereItShrinks) {
  const Bytes content = make_content(Pattern::kText, kBlocks * kBlock, 2);
  Opened file(content);
  file.reads_for(content);
  file.reader->limit_cache(kBlocks * kBlock / 2);
  Bytes page(kPage);
  std::size_t kept = 0;
  for (std::size_t block = kBlocks; block-- > 0;) {
    file.source->reset();
    ASSERT_OK(file.reader->read(0, block * kBlock, page));
    kept += file.source->reads == 0 ? 1 : 0;
  }
  EXPECT_GT(kept, kBlocks / 8);
  EXPECT_LE(kept, kBlocks / 2);
}

TEST(CacheLimit, OfAChildIsItsOwn) {
  const Bytes base = make_content(Pattern::kText, kBlocks * kBlock, 3);
  const Bytes content = changed(base);
  Opened parent(base);
  Opened child(content, &parent);
  child.reads_for(content);
  parent.source->reset();
  EXPECT_EQ(child.reads_for(content), 0u);
  EXPECT_EQ(parent.source->reads, 0u);
  child.reader->limit_cache(0);
  EXPECT_GE(child.reads_for(content), kBlocks);
  EXPECT_EQ(parent.source->reads, 0u) << "the parent keeps what it has";
  child.reader->limit_cache(kAmple);
  parent.reader->limit_cache(0);
  child.reads_for(content);
  EXPECT_EQ(child.reads_for(content), 0u);
  EXPECT_GE(parent.source->reads, kBlocks);
}

TEST(CacheLimit, OfAReaderWithoutItsParentMayBeSet) {
  const Bytes base = make_content(Pattern::kText, 4 * kBlock, 4);
  Opened parent(base);
  Opened child(changed(base), &parent);
  const auto bare = Reader::open(*child.source, {.without_parent = true});
  ASSERT_OK(bare);
  (*bare)->limit_cache(0);
  (*bare)->limit_cache(kAmple);
  EXPECT_EQ((*bare)->digest(), child.reader->digest());
}

TEST(CacheLimit, MayChangeWhileManyRead) {
  const Bytes base = make_content(Pattern::kMixed, kBlocks * kBlock, 5);
  const Bytes content = changed(base);
  Opened parent(base);
  Opened child(content, &parent);
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      Random random(number);
      for (int i = 0; i < 300; ++i) {
        const std::size_t offset = random.below(content.size());
        Bytes out(random.below(std::min<std::size_t>(content.size() - offset, 3 * kBlock)) + 1);
        if (!child.reader->read(0, offset, out) || !std::equal(out.begin(), out.end(), content.begin() + static_cast<std::ptrdiff_t>(offset))) ++wrong;
      }
    });
  }
  std::thread limiter([&] {
    Random random(99);
    while (!over) {
      parent.reader->limit_cache(random.below(kBlocks * kBlock));
      child.reader->limit_cache(random.one_in(3) ? 0 : random.below(kBlocks * kBlock));
      std::this_thread::yield();
    }
  });
  for (std::thread& thread : threads) thread.join();
  over = true;
  limiter.join();
  EXPECT_EQ(wrong, 0);
}

std::size_t resident_bytes(std::span<std::byte* const> blocks, std::size_t block_bytes) {
  std::size_t bytes = 0;
  for (std::byte* const block : blocks) {
    std::vector<unsigned char> pages(block_bytes / kPage);
    EXPECT_EQ(::mincore(block, block_bytes, pages.data()), 0);
    for (const unsigned char page : pages) bytes += (page & 1) * kPage;
  }
  return bytes;
}

// What an open snapshot still keeps lies anywhere in what it once had.
TEST(CacheLimit, OneBlockInUseKeepsNoMoreThanItsOwnMemory) {
  constexpr std::size_t kBytes = 65536, kCount = 256;
  BlockMemory memory(kBytes);
  std::vector<std::byte*> blocks, kept;
  for (std::size_t i = 0; i < kCount; ++i) {
    blocks.push_back(memory.take());
    std::memset(blocks.back(), static_cast<int>(i), kBytes);
  }
  ASSERT_EQ(resident_bytes(blocks, kBytes), kCount * kBytes);
  for (std::size_t i = 0; i < kCount; ++i) {
    if (i % 16 == 0) kept.push_back(blocks[i]);
    else memory.give_back(blocks[i]);
  }
  memory.trim();
  EXPECT_EQ(resident_bytes(kept, kBytes), kept.size() * kBytes);
  std::size_t others = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    // Where nothing of a slab was in use it is not even mapped.
    std::vector<unsigned char> pages(kBytes / kPage);
    if (i % 16 != 0 && ::mincore(blocks[i], kBytes, pages.data()) == 0) others += resident_bytes({&blocks[i], 1}, kBytes);
  }
  EXPECT_EQ(others, 0u);
  for (std::size_t i = 0; i < kCount; i += 16) {
    EXPECT_EQ(blocks[i][0], static_cast<std::byte>(i));
    EXPECT_EQ(blocks[i][kBytes - 1], static_cast<std::byte>(i));
  }
  std::byte* const again = memory.take();
  std::memset(again, 1, kBytes);
  memory.give_back(again);
  for (std::byte* const block : kept) memory.give_back(block);
}

}  // namespace
}  // namespace snap::test

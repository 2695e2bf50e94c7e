// SPDX-License-Identifier: Apache-2.0
// Many threads, many children, one parent: everybody reads what is true.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/chain.h"

namespace snap::test {
namespace {

constexpr unsigned kChildren = 5;
constexpr unsigned kThreads = 8;

class SharedParent : public testing::Test {
 protected:
  SharedParent() {
    base.options.block_bytes = 1u << 16;
    base.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, 300 * kPage + 77, 91));
    base_file = make_file(base);
    base_source = memory_source(base_file);
    parent = open(*base_source, nullptr, 2u << 20);
    auto pages = ParentPages::index(*parent, {.threads = 2});
    EXPECT_OK(pages);
    for (unsigned i = 0; i < kChildren; ++i) {
      Sample& child = children.emplace_back(base);
      child.regions[0].content = worked_on(base.regions[0].content, 92 + i, 60);
      child.options.block_bytes = i % 2 == 0 ? 1u << 14 : 1u << 16;
      child.options.codec = i % 3 == 0 ? Codec::kLz4 : Codec::kZstd;
      child.options.parent = parent.get();
      child.options.parent_pages = pages->get();
      files.push_back(make_file(child));
      sources.push_back(memory_source(files.back()));
    }
  }

  static std::unique_ptr<Reader> open(RandomSource& source, Reader* over, std::size_t cache_bytes) {
    auto reader = Reader::open(source, {.cache_bytes = cache_bytes, .parent = over});
    EXPECT_OK(reader);
    return reader ? std::move(*reader) : nullptr;
  }

  /// Each thread does this and that with any child, among others read it anew, restore it and apply it.
  void stress(Reader& over, std::size_t cache_bytes) {
    std::vector<std::unique_ptr<Reader>> readers;
    for (const auto& source : sources) readers.push_back(open(*source, &over, cache_bytes));
    std::atomic<unsigned> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < kThreads; ++number) {
      threads.emplace_back([&, number] {
        Random random(number);
        for (int i = 0; i < 60; ++i) {
          const std::size_t which = random.below(kChildren);
          wrong += !(this->*kDeeds[random.below(std::size(kDeeds))])(*readers[which], over, children[which].regions[0].content, which, random);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0u);
  }

  bool read_some(Reader& reader, Reader&, const Bytes& content, std::size_t, Random& random) {
    for (int i = 0; i < 10; ++i) {
      const std::size_t offset = random.below(content.size());
      Bytes out(random.below(std::min<std::size_t>(content.size() - offset, random.one_in(4) ? 300000 : 6000)) + 1);
      if (!reader.read(0, offset, out) || !std::equal(out.begin(), out.end(), content.begin() + static_cast<std::ptrdiff_t>(offset))) return false;
    }
    return true;
  }
  bool read_batch(Reader& reader, Reader&, const Bytes& content, std::size_t, Random& random) {
    std::vector<RegionRead> batch;
    std::deque<Bytes> buffers;
    for (int i = 0; i < 8; ++i) {
      batch.push_back({0, random.below(content.size() - 2 * kPage), buffers.emplace_back(2 * kPage)});
    }
    if (!reader.read_batch(batch)) return false;
    return std::all_of(batch.begin(), batch.end(), [&](const RegionRead& read) {
      return std::equal(read.out.begin(), read.out.end(), content.begin() + static_cast<std::ptrdiff_t>(read.offset));
    });
  }
  bool read_parent(Reader&, Reader& over, const Bytes&, std::size_t, Random& random) {
    return read_some(over, over, base.regions[0].content, 0, random);
  }
  bool restore_it(Reader& reader, Reader&, const Bytes& content, std::size_t, Random& random) {
    Bytes memory(content.size());
    return restore_to_memory(reader, 0, memory, {.threads = static_cast<unsigned>(random.below(2))}).has_value() && memory == content;
  }
  bool apply_it(Reader& reader, Reader&, const Bytes& content, std::size_t, Random& random) {
    Bytes memory = base.regions[0].content;
    return apply_changes(reader, 0, memory, {.threads = static_cast<unsigned>(random.below(2))}).has_value() && memory == content;
  }
  bool check_it(Reader&, Reader& over, const Bytes&, std::size_t which, Random& random) {
    const auto report = check(*sources[which], {.parent = &over, .threads = static_cast<unsigned>(random.below(3))});
    return report && report->clean() && report->content_compared;
  }
  bool ask_it(Reader& reader, Reader&, const Bytes&, std::size_t, Random& random) {
    return reader.range_digest(0, 3, random.below(30)).has_value() && reader.extent(0, random.below(300 * kPage)).has_value();
  }
  using Deed = bool (SharedParent::*)(Reader&, Reader&, const Bytes&, std::size_t, Random&);
  static constexpr Deed kDeeds[] = {&SharedParent::read_some, &SharedParent::read_some, &SharedParent::read_batch, &SharedParent::read_parent,
                                    &SharedParent::restore_it, &SharedParent::apply_it, &SharedParent::check_it, &SharedParent::ask_it};

  Sample base;
  Bytes base_file;
  std::unique_ptr<RandomSource> base_source;
  std::unique_ptr<Reader> parent;
  std::deque<Sample> children;
  std::deque<Bytes> files;
  std::vector<std::unique_ptr<RandomSource>> sources;
};

TEST_F(SharedParent, CompressedIsReadByAll) { stress(*parent, 1u << 20); }

TEST_F(SharedParent, WithoutAnyCacheIsReadByAll) {
  const auto bare = open(*base_source, nullptr, 0);
  stress(*bare, 0);
}

TEST_F(SharedParent, HeldIsReadByAll) {
  auto held = hold_in_memory(*parent, {.threads = 2});
  ASSERT_OK(held);
  stress(**held, 1u << 20);
}

// Writers share the parent and the index of its pages, too, and each makes the file it would make alone.
TEST_F(SharedParent, IsWrittenAgainstByAll) {
  auto held = hold_in_memory(*parent, {.threads = 2});
  ASSERT_OK(held);
  auto pages = ParentPages::index(**held, {.threads = 2});
  ASSERT_OK(pages);
  std::vector<std::thread> threads;
  std::atomic<unsigned> wrong{0};
  for (unsigned number = 0; number < kChildren; ++number) {
    threads.emplace_back([&, number] {
      Sample sample = children[number];
      sample.options.threads = number % 3;
      sample.options.parent = number % 2 == 0 ? held->get() : parent.get();
      sample.options.parent_pages = pages->get();
      const auto made = try_make_file(sample);
      wrong += !made || *made != files[number];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
#include "read/shared_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/content.h"

namespace snap::test {
namespace {

struct Thing {
  explicit Thing(std::uint64_t of, std::size_t size = 1000) : value(of), bytes(size) { live += bytes; }
  ~Thing() { live -= bytes; }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;
  std::size_t memory_bytes() const { return bytes; }
  std::uint64_t value;
  std::size_t bytes;
  static inline std::atomic<std::size_t> live{0};
};
using Cache = SharedCache<Thing>;
using Loaded = Result<std::shared_ptr<Thing>>;

TEST(SharedCache, LoadsOnceAndKeeps) {
  Cache cache(100000, 1000);
  int loads = 0;
  const auto load = [&]() -> Loaded {
    ++loads;
    return std::make_shared<Thing>(7u);
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ((*cache.get(1, load))->value, 7u);
  EXPECT_EQ(loads, 1);
  EXPECT_NE(cache.peek(1), nullptr);
  EXPECT_EQ(cache.peek(2), nullptr);
}

TEST(SharedCache, KeepsNoMoreThanItsLimit) {
  for (const std::size_t limit : {std::size_t{0}, std::size_t{999}, std::size_t{1000}, std::size_t{5500}, std::size_t{100000}}) {
    Cache cache(limit, 1000);
    for (std::uint64_t key = 0; key < 500; ++key) {
      EXPECT_EQ((*cache.get(key, [&]() -> Loaded { return std::make_shared<Thing>(key); }))->value, key);
      EXPECT_LE(Thing::live, limit);
    }
    EXPECT_EQ(Thing::live > 0, limit >= 1000);
  }
  EXPECT_EQ(Thing::live, 0u);
}

TEST(SharedCache, DropsWhatWasNotUsedForLongest) {
  Cache cache(3000, 1000);
  const auto get = [&](std::uint64_t key) { return (*cache.get(key, [&]() -> Loaded { return std::make_shared<Thing>(key); }))->value; };
  get(1), get(2), get(3), get(1), get(4);
  EXPECT_NE(cache.peek(1), nullptr);
  EXPECT_EQ(cache.peek(2), nullptr);
  EXPECT_NE(cache.peek(3), nullptr);
  EXPECT_NE(cache.peek(4), nullptr);
}

TEST(SharedCache, DoesNotRememberAnError) {
  Cache cache(100000, 1000);
  EXPECT_FALSE(cache.get(1, []() -> Loaded { return corrupt(5, "bad"); }));
  EXPECT_TRUE(cache.get(1, []() -> Loaded { return std::make_shared<Thing>(1u); }));
  EXPECT_THROW(static_cast<void>(cache.get(2, []() -> Loaded { throw std::bad_alloc(); })), std::bad_alloc);
  EXPECT_TRUE(cache.get(2, []() -> Loaded { return std::make_shared<Thing>(1u); }));
}

// Many threads, few keys, loads that fail now and then: everybody gets the right value or an error, and one load runs at a time.
TEST(SharedCache, LetsManyWaitForOneLoad) {
  for (const std::size_t limit : {std::size_t{0}, std::size_t{2500}, std::size_t{1} << 20}) {
    Cache cache(limit, 1000);
    std::array<std::atomic<int>, 8> loading{};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < 16; ++number) {
      threads.emplace_back([&, number] {
        Random random(number);
        for (int i = 0; i < 500; ++i) {
          const std::uint64_t key = random.below(loading.size());
          const bool fails = random.one_in(10);
          const auto got = cache.get(key, [&]() -> Loaded {
            if (++loading[key] != 1) ++wrong;
            std::this_thread::yield();
            --loading[key];
            if (fails) return corrupt(key, "bad");
            return std::make_shared<Thing>(key);
          });
          if (got ? (*got)->value != key : got.error().file_offset != key) ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
  EXPECT_EQ(Thing::live, 0u);
}

TEST(SharedCache, SettlesOnlyWhereNobodyWaits) {
  Cache cache(100000, 1000);
  ASSERT_EQ(*cache.claim(1), nullptr);
  EXPECT_TRUE(cache.settle(1));
  ASSERT_EQ(*cache.claim(1), nullptr);
  std::thread waiter([&] {
    while (true) {
      const auto got = cache.claim(1);
      ASSERT_TRUE(got);
      if (*got != nullptr) {
        EXPECT_EQ((*got)->value, 9u);
        return;
      }
      // It came between a settling and the next claim, and has that now; the other one may wait for it.
      if (!cache.settle(1)) return cache.publish(1, std::make_shared<Thing>(9u));
    }
  });
  bool theirs = false;
  while (!theirs && cache.settle(1)) {  // until the waiter is there
    const auto again = cache.claim(1);
    ASSERT_TRUE(again);
    theirs = *again != nullptr;
    std::this_thread::yield();
  }
  if (!theirs) cache.publish(1, std::make_shared<Thing>(9u));
  waiter.join();
}

}  // namespace
}  // namespace snap::test

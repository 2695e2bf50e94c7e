// SPDX-License-Identifier: Apache-2.0
#include "snap/xbzrle.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "support/xbzrle_plain.h"

namespace snap::test {
namespace {

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

/// Memory of one size exactly: its bounds are watched by AddressSanitizer.
class Exact {
 public:
  explicit Exact(std::size_t size) : size_(size), bytes_(std::make_unique<std::byte[]>(size)) {}
  explicit Exact(std::span<const std::byte> bytes) : Exact(bytes.size()) { std::copy(bytes.begin(), bytes.end(), bytes_.get()); }
  std::span<std::byte> all() { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte[]> bytes_;
};

/// One version's answer; the room has its exact size.
std::optional<Bytes> encoded(XbzrleVersion version, std::span<const std::byte> before, std::span<const std::byte> after,
                             std::size_t room) {
  Exact old_page(before), new_page(after), out(room);
  const auto bytes = xbzrle_encode(version, old_page.all(), new_page.all(), out.all());
  if (!bytes) return std::nullopt;
  EXPECT_LE(*bytes, room);
  return Bytes(out.all().begin(), out.all().begin() + static_cast<std::ptrdiff_t>(*bytes));
}

void expect_same_answers(std::span<const std::byte> before, std::span<const std::byte> after, std::size_t room) {
  const auto plain = plain_encode(before, after, room);
  for (const XbzrleVersion version : kXbzrleVersions) {
    SCOPED_TRACE("version " + std::to_string(static_cast<int>(version)) + ", room " + std::to_string(room));
    const auto ours = encoded(version, before, after, room);
    ASSERT_EQ(ours.has_value(), plain.has_value());
    if (!plain) continue;
    ASSERT_TRUE(*ours == *plain);
    Exact page(before), delta(*ours);
    ASSERT_TRUE(xbzrle_decode(version, delta.all(), page.all()));
    ASSERT_TRUE(std::equal(after.begin(), after.end(), page.all().begin()));
  }
}

void expect_same_decoding(std::span<const std::byte> delta, std::span<const std::byte> page) {
  Bytes plain(page.begin(), page.end());
  const bool taken = plain_decode(delta, plain);
  for (const XbzrleVersion version : kXbzrleVersions) {
    SCOPED_TRACE("version " + std::to_string(static_cast<int>(version)));
    Exact input(delta), ours(page);
    ASSERT_EQ(xbzrle_decode(version, input.all(), ours.all()), taken);
    ASSERT_TRUE(std::equal(plain.begin(), plain.end(), ours.all().begin()));
  }
}

/// Changes of one kind: some few, many, runs of any length, lone bytes, everything, stripes.
void change(Random& random, std::span<std::byte> page) {
  const auto flip = [&](std::size_t from, std::size_t count) {
    for (std::size_t i = from; i < std::min(from + count, page.size()); ++i)
      page[i] ^= static_cast<std::byte>(1 + random.below(255));
  };
  switch (random.below(6)) {
    case 0:
      for (std::uint64_t n = random.below(5); n != 0; --n) flip(random.below(page.size() + 1), 1 + random.below(3));
      break;
    case 1:
      for (std::size_t at = random.below(200); at < page.size(); at += 1 + random.below(300)) flip(at, random.below(100));
      break;
    case 2:
      random.fill(page);
      break;
    case 3:
      flip(0, page.size());
      break;
    case 4:
      for (std::size_t at = random.below(2), step = 1 + random.below(130); at < page.size(); at += step)
        flip(at, 1 + random.below(step));
      break;
    default:
      for (std::size_t at = random.below(300); at < page.size(); at += 1 + random.below(page.size()))
        flip(at, random.below(page.size()));
  }
}

std::size_t any_size(Random& random) {
  switch (random.below(4)) {
    case 0:
      return random.below(200);
    case 1:
      return kPage;
    case 2:
      return 64 * random.below(140);
    default:
      return random.below(3 * kPage);
  }
}

/// Set SNAP_TEST_SEED to one that was printed to run only that.
template <typename Check>
void for_seeds(std::uint64_t count, Check check) {
  const char* const only = std::getenv("SNAP_TEST_SEED");
  const std::uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  for (std::uint64_t seed = first; seed < first + (only != nullptr ? 1 : count) && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    check(random);
  }
}

TEST(Xbzrle, WritesWhatTheFormatSays) {
  const Bytes zeros(300);
  const auto delta = [&](std::initializer_list<std::pair<std::size_t, int>> changes) {
    Bytes page = zeros;
    for (const auto& [at, value] : changes) page[at] = static_cast<std::byte>(value);
    expect_same_answers(zeros, page, 1000);
    return encoded(XbzrleVersion::kPortable, zeros, page, 1000).value();
  };
  EXPECT_TRUE(delta({}) == Bytes());
  EXPECT_TRUE(delta({{0, 7}}) == bytes_of({0, 1, 7}));
  EXPECT_TRUE(delta({{5, 1}, {6, 2}, {8, 3}}) == bytes_of({5, 2, 1, 2, 1, 1, 3}));
  EXPECT_TRUE(delta({{127, 9}}) == bytes_of({127, 1, 9}));
  EXPECT_TRUE(delta({{128, 9}}) == bytes_of({0x80, 0x01, 1, 9}));
  EXPECT_TRUE(delta({{299, 9}}) == bytes_of({0xAB, 0x02, 1, 9}));
}

TEST(Xbzrle, WritesLongRunsOfChanges) {
  for (const std::size_t length : {63u, 64u, 65u, 127u, 128u, 4095u, 4096u}) {
    const Bytes zeros(4096);
    Bytes page = zeros;
    std::fill_n(page.begin(), length, std::byte{0x55});
    Bytes wanted = bytes_of({0});
    append_length(wanted, length);
    wanted.insert(wanted.end(), length, std::byte{0x55});
    EXPECT_TRUE(encoded(XbzrleVersion::kPortable, zeros, page, 5000) == wanted);
    expect_same_answers(zeros, page, 5000);
  }
}

TEST(Xbzrle, RefusesRunsThatHaveNoLength) {
  const Bytes zeros(40000);
  for (const std::size_t length : {kXbzrleMaxRun, kXbzrleMaxRun + 1}) {
    Bytes late = zeros;
    late[length] = std::byte{1};
    expect_same_answers(zeros, late, 50000);
    EXPECT_EQ(encoded(XbzrleVersion::kPortable, zeros, late, 50000).has_value(), length == kXbzrleMaxRun);
    Bytes full = zeros;
    std::fill_n(full.begin() + 100, length, std::byte{1});
    expect_same_answers(zeros, full, 50000);
    EXPECT_EQ(encoded(XbzrleVersion::kPortable, zeros, full, 50000).has_value(), length == kXbzrleMaxRun);
  }
  expect_same_answers(zeros, zeros, 50000);  // the last run is not written
}

TEST(Xbzrle, RefusesPagesOfTwoSizes) {
  const Bytes page(4096);
  Bytes out(4096);
  EXPECT_FALSE(xbzrle_encode(page, std::span(page).first(4095), out));
}

TEST(Xbzrle, AnswersTheSameInAnyRoom) {
  for_seeds(60, [](Random& random) {
    const std::size_t size = random.below(300);
    const Bytes before = make_content(Pattern::kRandom, size, random.next());
    Bytes after = before;
    change(random, after);
    for (std::size_t room = 0; room <= xbzrle_bound(size); ++room)
      ASSERT_NO_FATAL_FAILURE(expect_same_answers(before, after, room));
  });
}

TEST(Xbzrle, VersionsAnswerTheSame) {
  for_seeds(3000, [](Random& random) {
    const std::size_t size = any_size(random);
    const Bytes before = make_content(kAllPatterns[random.below(std::size(kAllPatterns))], size, random.next());
    Bytes after = before;
    change(random, after);
    ASSERT_NO_FATAL_FAILURE(expect_same_answers(before, after, xbzrle_bound(size)));
    ASSERT_NO_FATAL_FAILURE(expect_same_answers(before, after, size));
  });
}

TEST(Xbzrle, AlwaysFitsIntoItsBound) {
  for (std::size_t size = 0; size < 400; ++size) {
    for (const std::size_t step : {1u, 2u, 3u, 129u, 256u}) {
      const Bytes before(size);
      Bytes after = before;
      for (std::size_t at = 0; at < size; at += step) after[at] = std::byte{1};
      EXPECT_TRUE(xbzrle_encode(before, after, Exact(xbzrle_bound(size)).all()));
    }
  }
}

TEST(Xbzrle, RefusesMalformedDeltas) {
  Bytes page(64);
  const auto taken = [&](std::initializer_list<int> delta) {
    expect_same_decoding(bytes_of(delta), page);
    return xbzrle_decode(bytes_of(delta), page);
  };
  EXPECT_TRUE(taken({}));
  EXPECT_TRUE(taken({0, 1, 7}));
  EXPECT_TRUE(taken({63, 1, 7}));
  EXPECT_TRUE(taken({0x80, 0x00, 0x81, 0x00, 7}));  // lengths longer than they have to be
  EXPECT_FALSE(taken({0}));                         // ends in the first length,
  EXPECT_FALSE(taken({0x80}));
  EXPECT_FALSE(taken({5, 1}));                    // before the second,
  EXPECT_FALSE(taken({0x85, 0}));                 // (of two bytes)
  EXPECT_FALSE(taken({5, 0x81}));                 // in it,
  EXPECT_FALSE(taken({5, 2, 7}));                 // in the bytes
  EXPECT_FALSE(taken({5, 1, 7, 1}));              // in another pair
  EXPECT_FALSE(taken({0x81, 0x81, 0x00, 1, 7}));  // lengths of three bytes
  EXPECT_FALSE(taken({1, 0x81, 0x81, 0x00, 7}));
  EXPECT_FALSE(taken({5, 0, 7}));           // nothing changed
  EXPECT_FALSE(taken({5, 1, 7, 0, 1, 7}));  // nothing equal, and not the first
  EXPECT_FALSE(taken({64, 1, 7}));          // out of the page
  EXPECT_FALSE(taken({65, 1, 7}));
  EXPECT_FALSE(taken({63, 2, 7, 7}));
  EXPECT_FALSE(taken({62, 1, 7, 1, 1, 7}));
  EXPECT_FALSE(taken({0xFF, 0x7F, 1, 7}));
  EXPECT_FALSE(xbzrle_decode(bytes_of({0, 1, 7}), {}));
  EXPECT_TRUE(xbzrle_decode({}, {}));
}

TEST(Xbzrle, KeepsWhatLiesBesideTheRuns) {
  for (std::size_t length = 1; length < 300; ++length) {
    Bytes delta = bytes_of({1});
    append_length(delta, length);
    delta.insert(delta.end(), length, std::byte{0xEE});
    delta.insert(delta.end(), {std::byte{70}, std::byte{1}, std::byte{0xDD}});
    expect_same_decoding(delta, make_content(Pattern::kRandom, length + 200, length));
    delta.resize(delta.size() + 150, std::byte{0x11});  // room to read ahead
    expect_same_decoding(delta, make_content(Pattern::kRandom, length + 200, length));
  }
}

TEST(Xbzrle, VersionsDecodeDamagedDeltasAlike) {
  for_seeds(3000, [](Random& random) {
    const std::size_t size = any_size(random);
    const Bytes before = make_content(Pattern::kRandom, size, random.next());
    Bytes after = before;
    change(random, after);
    Bytes delta = plain_encode(before, after, xbzrle_bound(size)).value();
    for (std::uint64_t n = random.below(4); n != 0 && !delta.empty(); --n)
      delta[random.below(delta.size())] = static_cast<std::byte>(random.next());
    if (random.one_in(3)) delta.resize(random.below(delta.size() + 1));
    const std::size_t shorter = random.one_in(3) ? random.below(size + 1) : size;
    ASSERT_NO_FATAL_FAILURE(expect_same_decoding(delta, std::span(before).first(shorter)));
  });
}

TEST(Xbzrle, HasOneVersionEverywhere) {
  EXPECT_TRUE(xbzrle_has(XbzrleVersion::kPortable));
  const Bytes before(100);
  Bytes after = before, out(100);
  after[3] = std::byte{1};
  EXPECT_EQ(xbzrle_encode(before, after, out), 3u);
  for (const XbzrleVersion version : kXbzrleVersions) {
    if (!xbzrle_has(version)) std::printf("version %d is not there: not tested\n", static_cast<int>(version));
  }
}

}  // namespace
}  // namespace snap::test

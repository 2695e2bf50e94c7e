// SPDX-License-Identifier: Apache-2.0
// Damage is always seen and never yields wrong bytes: single bits, lost ends, sectors, pieces of other files.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/damage.h"
#include "support/resign.h"
#include "support/sample.h"
#include "support/sanitized.h"

namespace snap::test {
namespace {

class Damaged : public testing::TestWithParam<std::tuple<Codec, SmallKind>> {
 protected:
  Damaged() : sample(small_sample(std::get<0>(GetParam()), std::get<1>(GetParam()))), file(make_file(sample)) {}
  Sample sample;
  Bytes file;
};

INSTANTIATE_TEST_SUITE_P(Samples, Damaged,
                         testing::Combine(testing::Values(Codec::kStore, Codec::kLz4, Codec::kZstd),
                                          testing::Values(SmallKind::kTiny, SmallKind::kHoles)),
                         [](const auto& of) {
                           return std::string(codec_name(std::get<0>(of.param))) + (std::get<1>(of.param) == SmallKind::kTiny ? "Tiny" : "Holes");
                         });

TEST_P(Damaged, IsWholeBefore) {
  EXPECT_LE(file.size(), 10u * 1024);
  expect_holds(file, sample);
}

TEST_P(Damaged, EveryBitFlipIsSeen) {
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    if (kSanitized && bit % 8 != bit / 8 % 8) continue;
    file[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
    SCOPED_TRACE("bit " + std::to_string(bit % 8) + " of byte " + std::to_string(bit / 8));
    expect_seen(file, sample);
    file[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
    if (HasFailure()) return;
  }
}

TEST_P(Damaged, EveryCutIsSeen) {
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto cut = std::span(file).first(size);
    SCOPED_TRACE("cut to " + std::to_string(size));
    expect_seen(cut, sample);
    auto source = memory_source(cut);
    const auto reader = Reader::open(*source);
    ASSERT_FALSE(reader.has_value());
    EXPECT_EQ(reader.error().code, Code::kTruncated) << explain(reader.error());
    Collector collector;
    const auto streamed = stream(cut, collector);
    ASSERT_FALSE(streamed.has_value());
    EXPECT_EQ(streamed.error().code, Code::kTruncated) << explain(streamed.error());
    const CheckReport report = check_file(cut);
    EXPECT_TRUE(std::any_of(report.damages.begin(), report.damages.end(), [](const Damage& d) { return d.error.code == Code::kTruncated; }))
        << describe(report);
    if (HasFailure()) return;
  }
}

TEST_P(Damaged, BytesAfterTheEndAreSeen) {
  for (const std::size_t more : {1u, 8u, 64u, 4096u}) {
    for (const std::byte with : {std::byte{0}, std::byte{0xFF}}) {
      Bytes longer = file;
      longer.resize(file.size() + more, with);
      SCOPED_TRACE(std::to_string(more) + " more");
      expect_seen(longer, sample);
    }
  }
  Bytes twice = file;
  twice.insert(twice.end(), file.begin(), file.end());
  expect_seen(twice, sample);
  Bytes two_ends = file;
  two_ends.insert(two_ends.end(), file.end() - 64, file.end());
  expect_seen(two_ends, sample);
}

TEST_P(Damaged, OverwrittenSectorsAreSeen) {
  for (const std::size_t sector : {std::size_t{16}, std::size_t{512}, kPage}) {
    for (std::size_t at = 0; at < file.size(); at += sector) {
      const std::size_t bytes = std::min(sector, file.size() - at);
      SCOPED_TRACE("sector " + std::to_string(sector) + " at " + std::to_string(at));
      for (const int how : {0, 255, -1, -2}) {
        Bytes bad = file;
        const auto from = bad.begin() + static_cast<std::ptrdiff_t>(at);
        const auto to = from + static_cast<std::ptrdiff_t>(bytes);
        if (how >= 0) {
          std::fill(from, to, static_cast<std::byte>(how));
        } else if (how == -1 && at >= sector) {  // the one before again
          std::copy(file.begin() + static_cast<std::ptrdiff_t>(at - sector), file.begin() + static_cast<std::ptrdiff_t>(at - sector + bytes), from);
        } else if (how == -2) {  // left out
          bad.erase(from, to);
        }
        if (bad != file) expect_seen(bad, sample);
      }
      if (HasFailure()) return;
    }
  }
}

TEST(DamagedSeveral, RandomDamagesAreSeen) {
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    const Sample sample = small_sample(codec, SmallKind::kHoles);
    const Bytes file = make_file(sample);
    for (std::uint64_t seed = 1; seed <= 4000; ++seed) {
      Random random(seed);
      Bytes bad = file;
      for (std::uint64_t i = 0; i <= random.below(8); ++i) bad[random.below(bad.size())] = static_cast<std::byte>(random.next());
      if (bad == file) continue;
      SCOPED_TRACE("seed " + std::to_string(seed));
      expect_seen(bad, sample);
      if (testing::Test::HasFailure()) return;
    }
  }
}

struct Outcome {
  bool wrong = false;
  bool refused = false;
};
Outcome read_all(std::span<const std::byte> file, const Sample& sample) {
  auto source = memory_source(file);
  auto reader = Reader::open(*source);
  if (!reader) return {false, true};
  Outcome outcome;
  for (std::size_t region = 0; region < sample.regions.size(); ++region) {
    const Bytes& content = sample.regions[region].content;
    Bytes bytes(content.size());
    const auto result = (*reader)->read(region, 0, bytes);
    outcome.refused |= !result;
    outcome.wrong |= result && bytes != content;
  }
  return outcome;
}

// Whoever makes checks fit again has to do so at every level that a reader looks at before wrong bytes come out, and for the
// digests too before check() is content.
TEST(DamagedSeveral, ChecksThatWereMadeToFitAtSomeLevelsAreNotEnough) {
  std::size_t misled = 0;
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    const Sample sample = small_sample(codec, SmallKind::kHoles);
    const Bytes file = make_file(sample);
    std::vector<RecordPlace> blocks = records_of(file);
    std::erase_if(blocks, [](const RecordPlace& place) { return place.head.type != wire::kBlock; });
    for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
      Random random(seed);
      const RecordPlace& block = blocks[random.below(blocks.size())];
      Bytes bad = file;
      for (std::uint64_t i = 0; i <= random.below(4); ++i) {
        bad[block.offset + sizeof(wire::RecordHead) + random.below(block.head.body_bytes)] = static_cast<std::byte>(random.next());
      }
      if (bad == file) continue;
      const ResignOptions options{true, !random.one_in(4), !random.one_in(4), !random.one_in(4), random.one_in(2), !random.one_in(4)};
      resign(bad, options);
      SCOPED_TRACE("seed " + std::to_string(seed));
      const Outcome outcome = read_all(bad, sample);
      const bool readers_levels = options.bodies && options.heads && options.pointers && options.end;
      EXPECT_TRUE(readers_levels || !outcome.wrong);
      const bool must_be_seen = outcome.refused || (outcome.wrong && !options.digests);
      EXPECT_FALSE(must_be_seen && check_file(bad).clean());
      misled += outcome.wrong;
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(misled, 100u) << "the damage is not of the kind that this is about";
}

// Two snapshots of one guest: the same layout, another content.
TEST(DamagedSiblings, PiecesOfASiblingAreSeen) {
  const Sample one = sibling_sample(1);
  const Sample two = sibling_sample(2);
  const Bytes a = make_file(one);
  const Bytes b = make_file(two);
  ASSERT_EQ(a.size(), b.size());
  const auto records = records_of(a);
  ASSERT_EQ(records.size(), records_of(b).size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    Bytes spliced = a;
    const auto at = static_cast<std::ptrdiff_t>(records[i].offset);
    std::copy_n(b.begin() + at, records[i].bytes, spliced.begin() + at);
    SCOPED_TRACE("record " + std::to_string(i));
    if (spliced != a) expect_seen(spliced, one);
    // From this record on, and up to this record.
    Bytes tail = a;
    std::copy(b.begin() + at, b.end(), tail.begin() + at);
    if (tail != a && tail != b) expect_seen(tail, two);  // its catalog is the sibling's: so is what may be read
    Bytes front = a;
    std::copy(b.begin(), b.begin() + at, front.begin());
    if (front != a) expect_seen(front, one);
  }
}

TEST(DamagedSiblings, SwappedBlocksAreSeen) {
  const Sample one = sibling_sample(1);
  const Bytes file = make_file(one);
  const auto records = records_of(file);
  for (const RecordPlace& left : records) {
    for (const RecordPlace& right : records) {
      if (left.offset >= right.offset || left.bytes != right.bytes) continue;
      for (const std::size_t skip : {std::size_t{0}, std::size_t{48}}) {  // whole records; bodies under each other's heads
        Bytes swapped = file;
        std::swap_ranges(swapped.begin() + static_cast<std::ptrdiff_t>(left.offset + skip),
                         swapped.begin() + static_cast<std::ptrdiff_t>(left.offset + left.bytes),
                         swapped.begin() + static_cast<std::ptrdiff_t>(right.offset + skip));
        if (swapped != file) expect_seen(swapped, one);
      }
    }
  }
}

}  // namespace
}  // namespace snap::test

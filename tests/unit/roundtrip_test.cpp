// SPDX-License-Identifier: Apache-2.0
// What goes in comes out: every codec, block size and kind of content, however it is written and read.
#include <gtest/gtest.h>

#include <tuple>

#include "support/sample.h"

namespace snap::test {
namespace {

using Parameters = std::tuple<Codec, unsigned>;

class RoundTrip : public testing::TestWithParam<Parameters> {
 protected:
  Sample sample() const {
    Sample made;
    made.options.codec = std::get<0>(GetParam());
    made.options.block_bytes = 1u << std::get<1>(GetParam());
    return made;
  }
  std::size_t block() const { return std::size_t{1} << std::get<1>(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(All, RoundTrip,
                         testing::Combine(testing::Values(Codec::kStore, Codec::kLz4, Codec::kZstd), testing::Values(14u, 16u, 20u, 22u)),
                         [](const auto& of) {
                           return std::string(codec_name(std::get<0>(of.param))) + std::to_string(std::get<1>(of.param));
                         });

TEST_P(RoundTrip, KeepsEveryPattern) {
  for (const Pattern pattern : kAllPatterns) {
    Sample made = sample();
    made.add(RegionKind::kMemory, "ram", make_content(pattern, 3 * block() + 5 * kPage, 1));
    expect_holds(make_file(made), made);
  }
}

TEST_P(RoundTrip, KeepsEverySize) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kPage - 1, kPage, kPage + 1, block() - 1, block(), block() + 1, 2 * block() + 3 * kPage + 17}) {
    for (const bool unknown : {false, true}) {
      Sample made = sample();
      made.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, size, size + 1));
      made.regions[0].size_unknown = unknown;
      expect_holds(make_file(made), made);
    }
  }
}

TEST_P(RoundTrip, KeepsRegionsStatesAndMetadata) {
  Sample made = sample();
  made.metadata = {{"vm.name", "a b"}, {"empty", ""}, {"z/1", "\xC3\xA4"}};
  made.add(RegionKind::kMemory, "pc.ram", make_content(Pattern::kMixed, 2 * block() + kPage, 3));
  made.add(RegionKind::kState, "pc.ram", make_content(Pattern::kText, 12345, 4));
  made.add(RegionKind::kMemory, "vga", make_content(Pattern::kRepeats, block() / 2 + 100, 5));
  made.add(RegionKind::kState, "none", {});
  made.add(RegionKind::kMemory, "again", made.regions[0].content);
  made.regions[4].size_unknown = true;
  made.regions[4].info.placements = {{0, 0, kPage}, {1u << 20, 2 * kPage, kPage}};
  expect_holds(make_file(made), made);
}

TEST_P(RoundTrip, KeepsRandomMixtures) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    Random random(seed);
    Sample made = sample();
    made.options.dedup = !random.one_in(4);
    made.options.threads = static_cast<unsigned>(random.below(4));
    for (std::uint64_t i = 0; i < 1 + random.below(4); ++i) {
      const std::size_t size = random.below(block() < (1u << 20) ? 40 * block() : 3 * block());
      made.add(random.one_in(3) ? RegionKind::kState : RegionKind::kMemory, std::string("r").append(std::to_string(i)), make_content(Pattern::kMixed, size, seed * 10 + i));
      made.regions.back().size_unknown = random.one_in(2);
    }
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_holds(make_file(made), made);
  }
}

TEST(RoundTripIndex, HasSeveralLevels) {
  // More than 256 blocks, with whole nodes missing.
  Sample made;
  made.options.block_bytes = 1u << 14;
  made.options.codec = Codec::kLz4;
  Bytes content(std::size_t{700} << 14);
  Random random(9);
  for (const std::size_t block : {0u, 1u, 255u, 256u, 600u, 699u}) random.fill(std::span(content).subspan((block << 14) + 4096, 4096));
  made.add(RegionKind::kMemory, "ram", content);
  expect_holds(make_file(made), made);
}

TEST(RoundTripLevels, KeepsContentAtEveryLevel) {
  Sample made;
  made.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, 300000, 7));
  Digest digest;
  for (const auto& [codec, first, last] : {std::tuple(Codec::kLz4, 1, 12), std::tuple(Codec::kZstd, -7, 22)}) {
    for (int level = first; level <= last; ++level) {
      if (level == 0) continue;
      made.options.codec = codec;
      made.options.level = level;
      const Bytes file = make_file(made);
      expect_holds(file, made);
      const CheckReport report = check_file(file);
      if (digest == Digest{}) digest = report.digest;
      EXPECT_EQ(digest, report.digest) << "the digest is of the content, not of how it is kept";
    }
  }
}

}  // namespace
}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// check() names exactly what is lost; repair() gives back exactly what the writer wrote, or nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/damage.h"
#include "support/sample.h"

namespace snap::test {
namespace {

struct Repaired {
  Result<void> result;
  Bytes bytes;
};

Repaired repair_file(std::span<const std::byte> file) {
  Bytes out;
  auto source = memory_source(file);
  auto sink = memory_sink(out);
  auto result = repair(*source, *sink);
  return {std::move(result), std::move(out)};
}

bool derivable(std::uint8_t type) {
  return type == wire::kNode || type == wire::kClose || type == wire::kSeal || type == wire::kCatalog;
}

// Where in a file what can be made again stands, by byte.
std::vector<bool> derivable_bytes(std::span<const std::byte> file) {
  std::vector<bool> map(file.size());
  for (const RecordPlace& place : records_of(file)) {
    if (derivable(place.head.type)) std::fill_n(map.begin() + static_cast<std::ptrdiff_t>(place.offset), place.bytes, true);
  }
  std::fill(map.end() - sizeof(wire::Trailer), map.end(), true);
  return map;
}

// Every kind of record; two levels of index; the second region's size is not announced.
Sample many_records() {
  Sample sample = small_sample(Codec::kZstd, SmallKind::kHoles);
  sample.metadata = {{"a", "1"}, {"b", "2"}};
  Bytes ram(std::size_t{300} << 14);
  for (const std::size_t block : {0u, 7u, 255u, 256u, 299u}) std::fill_n(ram.begin() + static_cast<std::ptrdiff_t>(block << 14), 100, static_cast<std::byte>(block % 100 + 1));
  sample.add(RegionKind::kMemory, "more", std::move(ram));
  return sample;
}

TEST(Repair, GivesBackASoundFile) {
  const Bytes file = make_file(many_records());
  const Repaired again = repair_file(file);
  EXPECT_OK(again.result);
  EXPECT_TRUE(again.bytes == file);
}

// Half of the bytes of what can be made again, and some of the others.
TEST(Repair, MakesDamagedBytesOfTheIndexAgain) {
  for (const Codec codec : {Codec::kStore, Codec::kZstd}) {
    Sample sample = many_records();
    sample.options.codec = codec;
    Bytes file = make_file(sample);
    const Bytes sound = file;
    const std::vector<bool> can = derivable_bytes(file);
    Random random(1);
    for (std::size_t at = 0; at < file.size(); ++at) {
      if (!random.one_in(can[at] ? 2 : codec == Codec::kStore ? 50 : 8)) continue;
      file[at] ^= std::byte{1} << static_cast<int>(at % 8);
      SCOPED_TRACE("byte " + std::to_string(at));
      const Repaired again = repair_file(file);
      const CheckReport report = check_file(file);
      EXPECT_EQ(again.result.has_value(), can[at]) << describe(report);
      EXPECT_EQ(report.repairable, can[at]) << describe(report);
      if (can[at]) {
        EXPECT_TRUE(again.bytes == sound);
        EXPECT_EQ(report.damage_count, 1u) << describe(report);
        EXPECT_TRUE(report.lost.empty());
      } else {
        EXPECT_LT(again.bytes.size(), sound.size());
      }
      file[at] = sound[at];
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(Repair, MakesWhatIsCutOffBehindTheSealAgain) {
  const Bytes file = make_file(many_records());
  std::uint64_t seal_end = 0;  // of its head, which proves the body
  for (const RecordPlace& place : records_of(file)) {
    if (place.head.type == wire::kSeal) seal_end = place.offset + sizeof place.head;
  }
  for (std::size_t size = 0; size < file.size(); size += size + 700 < file.size() ? 5 : 1) {
    SCOPED_TRACE("cut to " + std::to_string(size));
    const auto cut = std::span(file).first(size);
    const Repaired again = repair_file(cut);
    EXPECT_EQ(again.result.has_value(), size >= seal_end);
    EXPECT_EQ(check_file(cut).repairable, size >= seal_end);
    if (size >= seal_end) {
      EXPECT_TRUE(again.bytes == file);
    } else {
      EXPECT_EQ(again.result.error().code, Code::kTruncated) << explain(again.result.error());
    }
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Repair, CutsOffWhatFollowsTheEnd) {
  const Bytes file = make_file(many_records());
  Bytes longer = file;
  longer.resize(file.size() + 5000, std::byte{7});
  const Repaired again = repair_file(longer);
  EXPECT_OK(again.result);
  EXPECT_TRUE(again.bytes == file);
}

TEST(Repair, PassesOnAFailingSink) {
  class FullSink final : public ByteSink {
   public:
    Result<void> write(std::span<const std::byte>) override { return Error{Code::kIo, 28, 0, 0, "full", 0}; }
  };
  const Bytes file = make_file(many_records());
  auto source = memory_source(file);
  FullSink sink;
  const auto result = repair(*source, sink);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().sys_errno, 28);
}

// A thousand blocks of 16 KiB, of which some copy pages of others.
class ThousandBlocks : public testing::Test {
 protected:
  static constexpr std::size_t kBlock = std::size_t{1} << 14;
  ThousandBlocks() {
    sample.options.block_bytes = kBlock;
    sample.options.codec = Codec::kLz4;
    Bytes ram = make_content(Pattern::kRandom, 1000 * kBlock, 3);
    for (std::size_t at = 0; at < ram.size(); at += kPage) {
      if (at / kPage % 4 != 0) std::fill_n(ram.begin() + static_cast<std::ptrdiff_t>(at), kPage, std::byte{0});
    }
    // Page 1 of blocks 500 and 900, and page 2 of another region's only block, are page 0 of block 400.
    const auto page = ram.begin() + 400 * kBlock;
    std::copy_n(page, kPage, ram.begin() + 500 * kBlock + kPage);
    std::copy_n(page, kPage, ram.begin() + 900 * kBlock + kPage);
    Bytes other = make_content(Pattern::kRandom, 4 * kPage, 4);
    std::copy_n(page, kPage, other.begin() + 2 * kPage);
    sample.add(RegionKind::kMemory, "ram", std::move(ram));
    sample.add(RegionKind::kMemory, "other", std::move(other));
    file = make_file(sample);
    for (const RecordPlace& place : records_of(file)) {
      if (place.head.type == wire::kBlock && place.head.region == 0) blocks.push_back(place);
    }
  }

  // Pages that are refused; all the others are right.
  std::set<std::pair<std::size_t, std::size_t>> refused_pages() const {
    std::set<std::pair<std::size_t, std::size_t>> refused;
    auto source = memory_source(file);
    auto reader = Reader::open(*source);
    EXPECT_OK(reader);
    for (std::size_t region = 0; region < sample.regions.size(); ++region) {
      const Bytes& content = sample.regions[region].content;
      for (std::size_t at = 0; at < content.size(); at += kPage) {
        Bytes page(kPage);
        if (!(*reader)->read(region, at, page)) {
          refused.emplace(region, at / kPage);
        } else {
          EXPECT_TRUE(std::equal(page.begin(), page.end(), content.begin() + static_cast<std::ptrdiff_t>(at)));
        }
      }
    }
    return refused;
  }

  static std::set<std::pair<std::size_t, std::size_t>> lost_pages(const CheckReport& report) {
    std::set<std::pair<std::size_t, std::size_t>> lost;
    for (const LostRange& range : report.lost) {
      EXPECT_EQ(range.offset % kPage, 0u);
      for (std::size_t page = range.offset / kPage; page < (range.offset + range.length) / kPage; ++page) lost.emplace(range.region == "other", page);
    }
    return lost;
  }

  void damage(std::uint64_t at) { file[at] ^= std::byte{4}; }

  Sample sample;
  Bytes file;
  std::vector<RecordPlace> blocks;
};

TEST_F(ThousandBlocks, OneDamagedBodyLosesItsPagesAndTheirCopies) {
  for (const std::size_t block : {0u, 255u, 256u, 400u, 500u, 511u, 999u}) {
    SCOPED_TRACE("block " + std::to_string(block));
    damage(blocks[block].offset + blocks[block].bytes - 1);
    for (const unsigned threads : {1u, 3u}) {
      const CheckReport report = check_file(file, threads);
      EXPECT_EQ(report.damage_count, 1u) << describe(report);
      ASSERT_FALSE(report.damages.empty());
      EXPECT_EQ(report.damages[0].kind, DamageKind::kBlock);
      EXPECT_EQ(report.damages[0].error.file_offset, blocks[block].offset);
      EXPECT_TRUE(report.complete);
      EXPECT_FALSE(report.repairable);
      EXPECT_EQ(lost_pages(report), refused_pages()) << describe(report);
      EXPECT_EQ(report.lost.size(), block == 400 ? 4u : 1u) << describe(report);
      EXPECT_EQ(report.lost_bytes, kBlock + (block == 400 ? 3 * kPage : 0));
    }
    damage(blocks[block].offset + blocks[block].bytes - 1);
  }
}

TEST_F(ThousandBlocks, OneDamagedHeadLosesItsPagesAndTheirCopies) {
  for (const std::size_t block : {0u, 255u, 256u, 400u, 500u, 511u, 999u}) {
    SCOPED_TRACE("block " + std::to_string(block));
    damage(blocks[block].offset + 9);
    const CheckReport report = check_file(file);
    EXPECT_EQ(report.damage_count, 1u) << describe(report);
    EXPECT_EQ(lost_pages(report), refused_pages()) << describe(report);
    EXPECT_FALSE(report.repairable);
    damage(blocks[block].offset + 9);
  }
}

TEST_F(ThousandBlocks, AWholeLostLeafIsNamedByItsNode) {
  // Blocks 256 … 511 are overwritten, their node is not.
  const std::uint64_t from = blocks[256].offset;
  const std::uint64_t to = blocks[511].offset + blocks[511].bytes;
  std::fill(file.begin() + static_cast<std::ptrdiff_t>(from), file.begin() + static_cast<std::ptrdiff_t>(to), std::byte{0});
  const CheckReport report = check_file(file);
  EXPECT_EQ(report.damage_count, 1u) << describe(report);
  EXPECT_EQ(lost_pages(report), refused_pages()) << describe(report);
}

TEST_F(ThousandBlocks, EveryDamagedNodeLosesNothing) {
  for (const RecordPlace& place : records_of(file)) {
    if (!derivable(place.head.type)) continue;
    for (const std::uint64_t at : {place.offset + 20, place.offset + place.bytes - 1}) {
      damage(at);
      const CheckReport report = check_file(file);
      EXPECT_EQ(report.damage_count, 1u) << describe(report);
      EXPECT_TRUE(report.lost.empty() && report.repairable) << describe(report);
      damage(at);
    }
  }
}

TEST_F(ThousandBlocks, ReportsAreInFileOrderAndNoMoreThanTheLimit) {
  for (const RecordPlace& block : blocks) damage(block.offset + block.bytes - 1);
  const CheckReport report = check_file(file);
  EXPECT_EQ(report.damage_count, blocks.size());
  EXPECT_TRUE(std::is_sorted(report.damages.begin(), report.damages.end(),
                             [](const Damage& a, const Damage& b) { return a.error.file_offset < b.error.file_offset; }));
  EXPECT_EQ(lost_pages(report), refused_pages());
}

TEST_F(ThousandBlocks, LostMetadataLosesNoMemory) {
  sample.metadata = {{"vm.name", "x"}};
  file = make_file(sample);
  damage(64 + 60);
  CheckReport report = check_file(file);
  EXPECT_EQ(report.damage_count, 1u) << describe(report);
  EXPECT_TRUE(report.lost.empty() && !report.repairable) << describe(report);
  damage(64 + 60);
  damage(64 + 9);
  report = check_file(file);
  EXPECT_EQ(report.damage_count, 1u) << describe(report);
  EXPECT_TRUE(report.lost.empty() && !report.repairable) << describe(report);
}

TEST_F(ThousandBlocks, CanBeCancelledAndTellsHowFarItIs) {
  auto source = memory_source(file);
  CheckOptions options;
  std::atomic<std::uint64_t> progress{0};
  options.progress = &progress;
  ASSERT_OK(check(*source, options));
  EXPECT_EQ(progress, file.size());
  const std::atomic<bool> cancel{true};
  options.cancel = &cancel;
  const auto report = check(*source, options);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, Code::kCancelled);
}

TEST(Check, MetadataBetweenRegionsDoesNotHideTheNextRegion) {
  // A gap before a META record that stands between two regions.
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(writer);
  for (unsigned i = 0; i < 3; ++i) {
    ASSERT_OK((*writer)->set_metadata("step", std::to_string(i)));
    ASSERT_OK(write_state(**writer, std::string("s").append(std::to_string(i)), make_content(Pattern::kRandom, 8 * kPage, i)));
  }
  ASSERT_OK((*writer)->finish());
  ASSERT_TRUE(check_file(file).clean());
  const auto records = records_of(file);
  // The whole end of region 0: its block, node and close.
  for (std::size_t i = 0; i + 1 < records.size(); ++i) {
    if (records[i].head.type != wire::kClose || records[i].head.region != 0) continue;
    const auto from = file.begin() + static_cast<std::ptrdiff_t>(records[i - 2].offset);
    std::fill(from, file.begin() + static_cast<std::ptrdiff_t>(records[i + 1].offset), std::byte{0});
  }
  const CheckReport report = check_file(file);
  ASSERT_EQ(report.lost.size(), 1u) << describe(report);
  EXPECT_EQ(report.lost[0].region, "s0");
  EXPECT_EQ(report.damage_count, 1u) << describe(report);
}

// The catalog tells how many blocks a region has where both its beginning and its end are damaged: here none.
TEST(Check, ARegionWithoutBlocksIsNotLost) {
  Sample sample = small_sample(Codec::kStore, SmallKind::kTiny);
  sample.add(RegionKind::kState, "nothing", Bytes(3 * kPage));
  const Bytes file = make_file(sample);
  Bytes bad = file;
  for (const RecordPlace& place : records_of(file)) {
    if (place.head.region != 1) continue;
    bad[place.offset + (place.head.type == wire::kRegion ? 9 : sizeof place.head + 1)] ^= std::byte{1};
  }
  const CheckReport report = check_file(bad);
  EXPECT_EQ(report.damage_count, 2u) << describe(report);
  EXPECT_TRUE(report.lost.empty() && !report.repairable) << describe(report);
}

TEST(Check, RefusesWhatIsNoSnapshot) {
  for (const std::size_t size : {std::size_t{8}, std::size_t{64}, std::size_t{100000}}) {
    const Bytes other(size, std::byte{'x'});
    auto source = memory_source(other);
    const auto report = check(*source);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code, Code::kCorrupt);
  }
  const Bytes nothing;
  auto source = memory_source(nothing);
  EXPECT_FALSE(check(*source).has_value());
}

}  // namespace
}  // namespace snap::test

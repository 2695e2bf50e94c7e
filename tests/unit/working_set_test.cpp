// SPDX-License-Identifier: Apache-2.0
// The working set of a snapshot: it comes back as stored, changes no other byte, and no damage of it touches anything else.
#include "snap/working_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "image/catalog.h"
#include "support/child_sample.h"
#include "support/damage.h"
#include "support/sample.h"
#include "support/sanitized.h"

namespace snap::test {
namespace {

using Ranges = std::vector<TouchedRange>;

// Region 0 has 12 pages, the last one short; 1 is a state; 2 has 3 pages.
Sample sample_of_two() {
  Sample sample = small_sample(Codec::kZstd, SmallKind::kHoles);
  sample.metadata = {{"a", "1"}};
  sample.add(RegionKind::kMemory, "bios", make_content(Pattern::kText, 3 * kPage, 5));
  return sample;
}

const Ranges kSome = {{0, 4, 2}, {2, 0, 3}, {0, 11, 1}, {0, 0, 4}};

Result<Bytes> with(std::span<const std::byte> file, const Ranges& ranges) {
  Bytes out;
  auto source = memory_source(file);
  auto sink = memory_sink(out);
  if (const auto done = write_with_working_set(*source, ranges, *sink); !done) return done.error();
  return out;
}

Bytes must_with(std::span<const std::byte> file, const Ranges& ranges) {
  auto made = with(file, ranges);
  if (made) return std::move(*made);
  ADD_FAILURE() << explain(made.error());
  return {};
}

Result<Ranges> stored(std::span<const std::byte> file) {
  auto source = memory_source(file);
  return read_working_set(*source);
}

RecordPlace place_of(std::span<const std::byte> file, std::uint8_t type) {
  for (const RecordPlace& place : records_of(file)) {
    if (place.head.type == type) return place;
  }
  ADD_FAILURE() << "no record of type " << int{type};
  return {};
}

struct Repaired {
  bool done;
  Bytes bytes;
};
Repaired repaired(std::span<const std::byte> file) {
  Bytes out;
  auto source = memory_source(file);
  auto sink = memory_sink(out);
  const bool done = repair(*source, *sink).has_value();
  return {done, std::move(out)};
}

class WorkingSet : public testing::Test {
 protected:
  WorkingSet() : sample(sample_of_two()), plain(make_file(sample)), file(must_with(plain, kSome)) {}
  Sample sample;
  Bytes plain;
  Bytes file;
};

TEST_F(WorkingSet, ComesBackAsStored) {
  const auto found = stored(file);
  ASSERT_OK(found);
  EXPECT_EQ(*found, kSome);
  expect_holds(file, sample);
  EXPECT_TRUE(stored(plain) && stored(plain)->empty());
  for (const auto& [bytes, ranges] : {std::pair(file, kSome), std::pair(plain, Ranges())}) {
    Collector collector;
    const auto streamed = stream(bytes, collector);
    ASSERT_OK(streamed);
    EXPECT_EQ(streamed->working_set, ranges);
  }
}

TEST_F(WorkingSet, ChangesNoByteBeforeIt) {
  const std::uint64_t seal = place_of(plain, wire::kSeal).offset;
  EXPECT_EQ(place_of(file, wire::kWorkingSet).offset, seal);
  EXPECT_EQ(file.size(), plain.size() + 48 + 20 + 12 * kSome.size());
  EXPECT_TRUE(std::equal(plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(seal), file.begin()));
}

TEST_F(WorkingSet, ReplacedOrRemovedLeavesNoTrace) {
  const Ranges other = {{2, 1, 1}};
  EXPECT_TRUE(must_with(file, other) == must_with(plain, other));
  EXPECT_TRUE(must_with(must_with(file, other), kSome) == file);
  EXPECT_TRUE(must_with(file, {}) == plain);
  EXPECT_TRUE(must_with(plain, {}) == plain);
}

TEST_F(WorkingSet, OfTheWriterIsTheSame) {
  Bytes made;
  auto sink = memory_sink(made);
  auto writer = Writer::create(*sink, sample.options);
  ASSERT_OK(writer);
  ASSERT_OK((*writer)->set_working_set(kSome));
  ASSERT_OK(write_sample(**writer, sample));
  EXPECT_TRUE(made == file);
  EXPECT_FALSE((*writer)->set_working_set({}).has_value());
}

TEST_F(WorkingSet, OfAChildIsOfItsOwnRegions) {
  const SmallFamily family(SmallChild::kZstd);
  const Ranges ranges = {{0, 0, page_count(family.child.regions[0].content.size())}};
  const Bytes child = must_with(family.file, ranges);
  expect_holds(child, family.child, family.parent.get());
  EXPECT_EQ(*stored(child), ranges);
  EXPECT_TRUE(must_with(child, {}) == family.file);
}

TEST_F(WorkingSet, IsFoundInFiveReads) {
  class Counted final : public RandomSource {
   public:
    explicit Counted(std::span<const std::byte> bytes) : inner_(memory_source(bytes)) {}
    Result<std::uint64_t> size() override { return inner_->size(); }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
      ++reads;
      return inner_->read_at(offset, out);
    }
    unsigned reads = 0;

   private:
    std::unique_ptr<RandomSource> inner_;
  };
  Counted source(file);
  EXPECT_EQ(*read_working_set(source), kSome);
  EXPECT_LE(source.reads, 5u);
}

TEST_F(WorkingSet, TakesAsManyRangesAsThereMayBe) {
  Bytes made;
  auto sink = memory_sink(made);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(writer);
  ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", std::uint64_t{1} << 32, 12, {}}));
  ASSERT_OK((*writer)->skip(std::uint64_t{1} << 32));
  ASSERT_OK((*writer)->end_region());
  ASSERT_OK((*writer)->finish());
  Ranges ranges;
  for (std::uint64_t i = 0; i < kMostTouchedRanges; ++i) ranges.push_back({0, (i * 7919) % kMostTouchedRanges * 2, 1});
  const Bytes full = must_with(made, ranges);
  EXPECT_EQ(*stored(full), ranges);
  EXPECT_TRUE(check_file(full).clean()) << describe(check_file(full));
  EXPECT_TRUE(must_with(full, {}) == made);
  ranges.push_back({0, 1, 1});
  EXPECT_EQ(with(made, ranges).error().code, Code::kInvalidArgument);
}

TEST_F(WorkingSet, ThatCannotBeIsRefused) {
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  for (const Ranges& bad : std::vector<Ranges>{{{3, 0, 1}}, {{std::size_t{1} << 16, 0, 1}}, {{1, 0, 1}}, {{0, 0, 0}}, {{0, 12, 1}}, {{0, 11, 2}},
                                               {{2, 1, kMost}}, {{2, kMost, 2}}, {{0, 1, 1}, {2, 0, 1}, {0, 1, 1}}, {{0, 5, 1}, {0, 2, 4}}}) {
    const auto made = with(plain, bad);
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().code, Code::kInvalidArgument);
    Bytes out;
    auto sink = memory_sink(out);
    auto writer = Writer::create(*sink, sample.options);
    ASSERT_OK((*writer)->set_working_set(bad));
    EXPECT_EQ(write_sample(**writer, sample).error().code, Code::kInvalidArgument);
  }
}

// Behind metadata, large and small, behind nothing at all.
TEST_F(WorkingSet, FollowsAnyRecord) {
  for (const std::size_t bytes : {1u, 5000u, 1u << 20}) {
    Bytes made;
    auto sink = memory_sink(made);
    auto writer = Writer::create(*sink, {});
    ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", kPage, 12, {}}));
    ASSERT_OK((*writer)->skip(kPage));
    ASSERT_OK((*writer)->end_region());
    // Heads of no record, some with the right magic, are passed over.
    std::string value(bytes, 'x');
    for (std::size_t at = 0; at + 4 < bytes; at += 64) value.replace(at, 4, "vmsr");
    ASSERT_OK((*writer)->set_metadata("last", value));
    ASSERT_OK((*writer)->finish());
    const Bytes set = must_with(made, {{0, 0, 1}});
    EXPECT_EQ(stored(set)->size(), 1u);
    EXPECT_TRUE(must_with(set, {}) == made);
  }
  const Bytes empty = make_file({});
  EXPECT_TRUE(must_with(empty, {}) == empty);
  EXPECT_TRUE(stored(empty)->empty());
}

// Nothing but the working set itself is touched by what happens to its record.
TEST_F(WorkingSet, DamagedKeepsNothingElseFromBeingRead) {
  const RecordPlace place = place_of(file, wire::kWorkingSet);
  const Bytes sound = file;
  for (std::uint64_t bit = 8 * place.offset; bit < 8 * (place.offset + place.bytes); ++bit) {
    if (kSanitized && bit % 8 != bit / 8 % 8) continue;
    SCOPED_TRACE("bit " + std::to_string(bit % 8) + " of byte " + std::to_string(bit / 8 - place.offset));
    file[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
    const bool head = bit / 8 - place.offset < sizeof(wire::RecordHead);
    EXPECT_FALSE(expect_no_wrong_bytes(file, sample)) << "refused";
    const auto found = stored(file);
    EXPECT_TRUE(!found || found->empty());

    const CheckReport report = check_file(file);
    ASSERT_EQ(report.damage_count, 1u) << describe(report);
    EXPECT_NE(std::strstr(report.damages[0].error.what, "working set"), nullptr) << describe(report);
    EXPECT_EQ(report.damages[0].error.file_offset, place.offset);
    EXPECT_TRUE(report.lost.empty() && report.complete);
    EXPECT_EQ(report.repairable, head);
    const Repaired again = repaired(file);
    EXPECT_EQ(again.done, head);
    EXPECT_TRUE(!head || again.bytes == sound);

    const auto removed = with(file, {});
    EXPECT_EQ(removed.has_value(), !head);
    if (removed) {
      EXPECT_TRUE(*removed == plain);
    } else {
      EXPECT_EQ(removed.error().code, Code::kCorrupt);
    }
    file[bit / 8] = sound[bit / 8];
    if (HasFailure()) return;
  }
}

TEST_F(WorkingSet, IsThereWhenTheEndIsMadeAgain) {
  const Bytes sound = file;
  const RecordPlace seal = place_of(file, wire::kSeal);
  for (std::size_t at = seal.offset; at < file.size(); ++at) {
    SCOPED_TRACE("byte " + std::to_string(at));
    file[at] ^= std::byte{0x10};
    EXPECT_TRUE(check_file(file).repairable) << describe(check_file(file));
    const Repaired again = repaired(file);
    EXPECT_TRUE(again.done && again.bytes == sound);
    const auto found = stored(file);
    EXPECT_TRUE(!found || *found == kSome);
    file[at] = sound[at];
    if (HasFailure()) return;
  }
  for (std::size_t size = seal.offset + sizeof(wire::RecordHead); size < file.size(); ++size) {
    const Repaired again = repaired(std::span(file).first(size));
    EXPECT_TRUE(again.done && again.bytes == sound) << size;
    EXPECT_FALSE(with(std::span(file).first(size), {}).has_value());
  }
}

TEST_F(WorkingSet, CutOffIsIncomplete) {
  const RecordPlace place = place_of(file, wire::kWorkingSet);
  for (std::uint64_t size = place.offset; size < place.offset + place.bytes + sizeof(wire::RecordHead); ++size) {
    const CheckReport report = check_file(std::span(file).first(size));
    EXPECT_FALSE(report.clean() || report.repairable || report.complete) << size << ' ' << describe(report);
    EXPECT_FALSE(repaired(std::span(file).first(size)).done);
  }
}

TEST_F(WorkingSet, DoesNotHideOtherDamage) {
  const RecordPlace block = place_of(file, wire::kBlock);
  file[block.offset + block.bytes - 1] ^= std::byte{1};
  const CheckReport report = check_file(file);
  EXPECT_EQ(report.damage_count, 1u) << describe(report);
  EXPECT_FALSE(report.lost.empty());
  EXPECT_EQ(*stored(file), kSome);
  // Removing it does not look at blocks: the damage stays as it is.
  Bytes damaged = plain;
  damaged[block.offset + block.bytes - 1] ^= std::byte{1};
  EXPECT_TRUE(must_with(file, {}) == damaged);
}

}  // namespace
}  // namespace snap::test

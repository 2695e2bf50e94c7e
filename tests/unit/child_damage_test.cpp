// SPDX-License-Identifier: Apache-2.0
// Damage of a difference is always seen, with its parent and without; damage of its parent is told to be the parent's.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "support/chain.h"
#include "support/child_sample.h"
#include "support/faulty.h"
#include "support/resign.h"
#include "support/sanitized.h"

namespace snap::test {
namespace {

class DamagedChild : public testing::TestWithParam<SmallChild>, public SmallFamily {
 protected:
  DamagedChild() : SmallFamily(GetParam()) {}

  // With the parent nothing is missed. Without it, too, as all of this damage is of stored bytes.
  void expect_seen_by_all(std::span<const std::byte> bad) {
    const bool refused = expect_no_wrong_bytes(bad, child, parent.get());
    Collector collector;
    EXPECT_FALSE(stream(bad, collector, parent.get()).has_value()) << "read_stream took it";
    EXPECT_FALSE(check_file(bad).clean()) << "check without the parent found nothing";
    const CheckReport report = check_file(bad, 1, parent.get());
    EXPECT_FALSE(report.clean()) << "check found nothing";
    EXPECT_TRUE(!report.repairable || report.lost.empty());
    EXPECT_TRUE(refused || report.lost.empty()) << "all could be read, but is reported lost\n" << describe(report);
    for (const Damage& damage : report.damages) {
      EXPECT_TRUE(damage.kind != DamageKind::kParent && damage.error.code != Code::kParentMismatch && damage.error.ancestor == 0) << describe(report);
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Forms, DamagedChild, testing::ValuesIn(kAllSmallChildren), [](const auto& of) { return std::string(name_of(of.param)); });

TEST_P(DamagedChild, IsWholeBeforeAndHoldsEveryKindOfPage) {
  EXPECT_LE(file.size(), GetParam() == SmallChild::kStore ? 10000u : 3000u);
  expect_holds(file, child, parent.get());
  std::set<int> kinds;
  std::set<int> codecs;
  for (const RecordPlace& record : records_of(file)) {
    if (record.head.type != wire::kBlock) continue;
    codecs.insert(record.head.codec);
    for (std::uint32_t page = 0; page < record.head.aux; ++page) {
      const unsigned byte = std::to_integer<unsigned>(file[record.offset + sizeof record.head + page / 2]);
      kinds.insert(static_cast<int>(page % 2 == 0 ? byte & 15 : byte >> 4));
    }
  }
  const bool over_parent = GetParam() == SmallChild::kDictionary || GetParam() == SmallChild::kNamed;
  std::set<int> expected{wire::kZero, wire::kSame, wire::kRaw, wire::kCopy};
  if (GetParam() == SmallChild::kLz4 || GetParam() == SmallChild::kZstd) expected.insert(wire::kXor);
  EXPECT_EQ(kinds, expected);
  EXPECT_EQ(codecs.contains(3), over_parent);
  Bytes again = file;
  resign(again, {}, parent.get());
  EXPECT_TRUE(again == file) << "signed as it was";
  const CheckReport alone = check_file(file);
  EXPECT_TRUE(alone.clean() && !alone.content_compared) << describe(alone);
}

TEST_P(DamagedChild, EveryBitFlipIsSeen) {
  const auto records = records_of(file);
  // Of pages that are stored as they are, and of records that all forms have alike, one bit of each byte.
  const auto is_alike = [&](std::size_t byte) {
    const auto after = std::find_if(records.begin(), records.end(), [&](const RecordPlace& place) { return place.offset > byte; });
    if (after == records.begin()) return GetParam() != SmallChild::kNamed;
    const RecordPlace& record = *std::prev(after);
    return record.head.type == wire::kBlock ? byte >= record.offset + 200 && GetParam() == SmallChild::kStore : GetParam() != SmallChild::kNamed;
  };
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    if (bit % 8 != bit / 8 % 8 && (kSanitized || is_alike(bit / 8))) continue;
    file[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
    SCOPED_TRACE("bit " + std::to_string(bit % 8) + " of byte " + std::to_string(bit / 8));
    expect_seen_by_all(file);
    file[bit / 8] ^= std::byte{1} << static_cast<int>(bit % 8);
    if (HasFailure()) return;
  }
}

TEST_P(DamagedChild, EveryCutIsSeen) {
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto cut = std::span(file).first(size);
    SCOPED_TRACE("cut to " + std::to_string(size));
    expect_seen_by_all(cut);
    auto source = memory_source(cut);
    EXPECT_EQ(Reader::open(*source, {.parent = parent.get()}).error().code, Code::kTruncated);
    Collector collector;
    EXPECT_EQ(stream(cut, collector, parent.get()).error().code, Code::kTruncated);
    if (HasFailure()) return;
  }
}

TEST_P(DamagedChild, OverwrittenSectorsAreSeen) {
  for (const std::size_t sector : {std::size_t{16}, std::size_t{512}}) {
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
        if (bad != file) expect_seen_by_all(bad);
      }
      if (HasFailure()) return;
    }
  }
}

TEST_P(DamagedChild, RandomDamagesAreSeen) {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    Random random(seed);
    Bytes bad = file;
    for (std::uint64_t i = 0; i <= random.below(8); ++i) bad[random.below(bad.size())] = static_cast<std::byte>(random.next());
    if (bad == file) continue;
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_seen_by_all(bad);
    if (HasFailure()) return;
  }
}

// What check() can make again it makes as it was, if it has the parent.
TEST_P(DamagedChild, IsRepairedAsItWasOrNotAtAll) {
  std::size_t repaired = 0;
  for (std::size_t byte = 0; byte < file.size(); byte += 7) {
    for (const bool with_parent : {false, true}) {
      SCOPED_TRACE("byte " + std::to_string(byte) + (with_parent ? "" : " without the parent"));
      Bytes bad = file;
      bad[byte] ^= std::byte{0x10};
      auto source = memory_source(bad);
      Bytes out;
      auto sink = memory_sink(out);
      const CheckOptions options{.parent = with_parent ? parent.get() : nullptr};
      const auto report = check(*source, options);
      const bool done = repair(*source, *sink, options).has_value();
      EXPECT_TRUE(report ? done == report->repairable : !done);
      EXPECT_TRUE(!done || out == file);
      repaired += done;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(repaired, 20u);
}

// Each record that is like one of the other's in place and size is put in its stead, and the file from there on and up to there.
void expect_splices_seen(const Bytes& file, const Sample& sample, const Bytes& other, Reader* parent) {
  const auto theirs = records_of(other);
  std::size_t spliced = 0;
  for (const RecordPlace& mine : records_of(file)) {
    for (const RecordPlace& their : theirs) {
      SCOPED_TRACE("record at " + std::to_string(mine.offset) + " from " + std::to_string(their.offset));
      Bytes bad(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(mine.offset));
      bad.insert(bad.end(), other.begin() + static_cast<std::ptrdiff_t>(their.offset), other.begin() + static_cast<std::ptrdiff_t>(their.offset + their.bytes));
      bad.insert(bad.end(), file.begin() + static_cast<std::ptrdiff_t>(mine.offset + mine.bytes), file.end());
      if (bad != file && bad != other) expect_seen(bad, sample, parent);
      ++spliced;
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(spliced, 100u);
}

TEST_P(DamagedChild, RecordsOfASiblingAreSeen) {
  Sample sibling = child;
  sibling.regions[0].content[8 * kPage + 3] ^= std::byte{1};
  auto pages = ParentPages::index(*parent, {});
  ASSERT_OK(pages);
  sibling.options.parent_pages = pages->get();
  expect_splices_seen(file, child, make_file(sibling), parent.get());
}

TEST_P(DamagedChild, RecordsOfItsParentAreSeen) { expect_splices_seen(file, child, parent_file, parent.get()); }

TEST_P(DamagedChild, ItsOwnRecordsElsewhereAreSeen) { expect_splices_seen(file, child, file, parent.get()); }

// Whoever makes checks fit again has to do so at every level before wrong bytes come out.
TEST_P(DamagedChild, ChecksThatWereMadeToFitAtSomeLevelsAreNotEnough) {
  std::vector<RecordPlace> blocks = records_of(file);
  std::erase_if(blocks, [](const RecordPlace& place) { return place.head.type != wire::kBlock; });
  std::size_t misled = 0;
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    Random random(seed);
    const RecordPlace& block = blocks[random.below(blocks.size())];
    Bytes bad = file;
    for (std::uint64_t i = 0; i <= random.below(4); ++i) {
      bad[block.offset + sizeof(wire::RecordHead) + random.below(block.head.body_bytes)] = static_cast<std::byte>(random.next());
    }
    if (bad == file) continue;
    const ResignOptions options{true, !random.one_in(4), !random.one_in(4), !random.one_in(4), random.one_in(2), !random.one_in(4)};
    resign(bad, options, parent.get());
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto source = memory_source(bad);
    auto reader = Reader::open(*source, {.parent = parent.get()});
    bool wrong = false;
    bool refused = !reader;
    for (std::size_t region = 0; reader && region < child.regions.size(); ++region) {
      Bytes bytes(child.regions[region].content.size());
      const auto result = (*reader)->read(region, 0, bytes);
      refused |= !result;
      wrong |= result && bytes != child.regions[region].content;
    }
    const bool readers_levels = options.bodies && options.heads && options.pointers && options.end;
    EXPECT_TRUE(readers_levels || !wrong);
    const bool must_be_seen = refused || (wrong && !options.digests);
    EXPECT_FALSE(must_be_seen && check_file(bad, 1, parent.get()).clean());
    misled += wrong;
    if (HasFailure()) return;
  }
  EXPECT_GT(misled, 10u) << "the damage is not of the kind that this is about";
}

// A region whose size was not announced ends inside a page; the parent has bytes past that end. Whoever leaves that page to the parent
// says that its filling is not zero.
TEST(ChildFilling, OfTheParentsBytesIsRefused) {
  const SmallFamily family(SmallChild::kStore);
  Sample sample;
  sample.options.codec = Codec::kStore;
  sample.options.block_bytes = 1u << 14;
  sample.options.parent = family.parent.get();
  const Bytes& ram = family.parent_sample.regions[0].content;
  sample.add(RegionKind::kMemory, "ram", Bytes(ram.begin(), ram.begin() + 5 * kPage + 17));
  sample.regions[0].size_unknown = true;
  sample.regions[0].info.placements.clear();
  const Bytes file = make_file(sample);
  expect_holds(file, sample, family.parent.get());
  for (const bool record : {false, true}) {
    Bytes bad;
    for (const RecordPlace& place : records_of(file)) {
      if (bad.empty()) bad.assign(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(place.offset));
      Bytes bytes(file.begin() + static_cast<std::ptrdiff_t>(place.offset), file.begin() + static_cast<std::ptrdiff_t>(place.offset + place.bytes));
      if (place.head.type == wire::kBlock && record) {  // page 4 XOR itself changed, page 5 the same
        wire::RecordHead head = place.head;
        head.body_bytes = 1 + kPage;
        bytes.assign(sizeof head + head.body_bytes, std::byte{0x11});
        bytes[sizeof head] = std::byte{0x13};
        std::memcpy(bytes.data(), &head, sizeof head);
      } else if (!record && (place.head.type == wire::kBlock || place.head.type == wire::kNode)) {
        continue;
      } else if (!record && place.head.type == wire::kClose) {
        const wire::CloseBody none{};
        std::memcpy(bytes.data() + sizeof place.head, &none, sizeof none);
      }
      append(bad, bytes);
    }
    append(bad, std::span(file).last(sizeof(wire::Trailer)));
    resign(bad, {}, family.parent.get());
    const CheckReport report = check_file(bad, 1, family.parent.get());
    EXPECT_FALSE(report.clean()) << record;
    auto source = memory_source(bad);
    auto reader = Reader::open(*source, {.parent = family.parent.get()});
    ASSERT_OK(reader);
    Bytes memory(sample.regions[0].content.size());
    Bytes out(memory.size());
    const bool restored = restore_to_memory(**reader, 0, memory, {.threads = 0}).has_value();
    const bool read = (*reader)->read(0, 0, out).has_value();
    EXPECT_EQ(restored, read) << record;
    EXPECT_EQ(apply_changes(**reader, 0, memory = Bytes(ram.begin(), ram.begin() + 5 * kPage + 17), {.threads = 0}).has_value(), read) << record;
    Collector collector;
    EXPECT_EQ(stream(bad, collector, family.parent.get()).has_value(), read) << record;
  }
}

// ---- A damaged parent ----

bool is_of(const Error& error, unsigned ancestor) { return error.ancestor == ancestor; }

// All that is done with a child over a chain in which the file `ancestor` steps below it is damaged; `memory` is the sound parent's.
// Answers whether anything was refused.
bool expect_told_as_the_parents(Reader& reader, std::span<const std::byte> file, const Sample& sample, unsigned ancestor, const Bytes& memory) {
  bool refused = false;
  const auto judge = [&](const Error& error) {
    refused = true;
    EXPECT_TRUE(is_of(error, ancestor)) << "of ancestor " << error.ancestor << ": " << explain(error);
  };
  for (std::size_t region = 0; region < sample.regions.size(); ++region) {
    const Bytes& content = sample.regions[region].content;
    for (std::size_t at = 0; at < content.size(); at += kPage) {
      Bytes page(std::min(kPage, content.size() - at));
      if (const auto result = reader.read(region, at, page); !result) {
        judge(result.error());
      } else {
        EXPECT_TRUE(std::equal(page.begin(), page.end(), content.begin() + static_cast<std::ptrdiff_t>(at))) << "wrong bytes of " << region << " at " << at;
      }
    }
    Bytes restored(content.size());
    if (const auto done = restore_to_memory(reader, region, restored, {.threads = 0}); !done) {
      judge(done.error());
    } else {
      EXPECT_TRUE(restored == content) << "restored to wrong bytes";
    }
    Bytes out;
    auto sink = memory_sink(out);
    if (const auto done = restore_to_sink(reader, region, *sink, {.threads = 0}); !done) {
      judge(done.error());
    } else {
      EXPECT_TRUE(out == content) << "restored to wrong bytes";
    }
  }
  Bytes applied = memory;
  applied.resize(sample.regions[0].content.size());
  if (const auto done = apply_changes(reader, 0, applied, {.threads = 0}); !done) {
    judge(done.error());
  } else {
    EXPECT_TRUE(applied == sample.regions[0].content) << "changes applied to wrong bytes";
  }
  Collector collector;
  if (const auto done = stream(file, collector, reader.parent()); !done) {
    judge(done.error());
  } else {
    EXPECT_TRUE(collector.contents[0] == sample.regions[0].content) << "streamed to wrong bytes";
  }
  const CheckReport report = check_file(file, 1, reader.parent());
  EXPECT_TRUE(report.lost.empty()) << describe(report);
  for (const Damage& damage : report.damages) {
    EXPECT_EQ(damage.kind, DamageKind::kParent) << describe(report);
    EXPECT_EQ(damage.error.ancestor, ancestor) << describe(report);
  }
  EXPECT_TRUE(report.clean() || !report.content_compared) << describe(report);
  return refused;
}

TEST_P(DamagedChild, ItsParentsDamageIsTheParents) {
  std::size_t refused = 0;
  Random random(31);
  for (std::size_t byte = 0; byte < parent_file.size(); byte += byte < 1000 || byte + 2500 > parent_file.size() ? 5 : 201) {
    Bytes bad = parent_file;
    bad[byte] ^= std::byte{1} << static_cast<int>(random.below(8));
    SCOPED_TRACE("byte " + std::to_string(byte));
    auto bad_source = memory_source(bad);
    auto bad_parent = Reader::open(*bad_source);
    if (!bad_parent) continue;
    auto source = memory_source(file);
    auto reader = Reader::open(*source, {.parent = bad_parent->get()});
    ASSERT_OK(reader);
    refused += expect_told_as_the_parents(**reader, file, child, 1, parent_sample.regions[0].content);
    if (HasFailure()) return;
  }
  EXPECT_GT(refused, 100u);
}

TEST_P(DamagedChild, ItsGrandparentsDamageIsTheGrandparents) {
  std::size_t refused = 0;
  Random random(32);
  auto parent_as_child_source = memory_source(file);
  auto middle = Reader::open(*parent_as_child_source, {.parent = parent.get()});
  ASSERT_OK(middle);
  Sample next = child;
  next.options.parent = middle->get();
  Random(33).fill(page_of(next.regions[0].content, 5).first(100));
  Random(34).fill(page_of(next.regions[0].content, 10).first(100));
  copy_page_of(next.regions[0].content, 13, 1);
  const Bytes next_file = make_file(next);
  for (std::size_t byte = 0; byte < parent_file.size(); byte += byte < 1000 || byte + 2500 > parent_file.size() ? 11 : 301) {
    Bytes bad = parent_file;
    bad[byte] ^= std::byte{1} << static_cast<int>(random.below(8));
    SCOPED_TRACE("byte " + std::to_string(byte));
    auto bad_source = memory_source(bad);
    auto bad_parent = Reader::open(*bad_source);
    if (!bad_parent) continue;
    auto middle_source = memory_source(file);
    auto bad_middle = Reader::open(*middle_source, {.parent = bad_parent->get()});
    ASSERT_OK(bad_middle);
    auto source = memory_source(next_file);
    auto reader = Reader::open(*source, {.parent = bad_middle->get()});
    ASSERT_OK(reader);
    refused += expect_told_as_the_parents(**reader, next_file, next, 2, child.regions[0].content);
    if (HasFailure()) return;
  }
  EXPECT_GT(refused, 50u);
}

/// A region of a parent, and a child whose region ends within a page of it and differs in the block `changed`, if any.
class CutChild {
 public:
  explicit CutChild(std::optional<std::size_t> changed = {}) {
    Sample base;
    base.options.codec = Codec::kStore;
    base.options.block_bytes = 1u << 14;
    base.add(RegionKind::kMemory, "ram", make_content(Pattern::kRandom, std::size_t{8} << 14, 51));
    parent_file = make_file(base);
    const auto source = memory_source(parent_file);
    const auto parent = Reader::open(*source);
    EXPECT_OK(parent);
    Sample next = base;
    next.options.parent = parent->get();
    next.regions[0].content.resize((std::size_t{7} << 14) + 100);
    next.regions[0].info.size = next.regions[0].content.size();
    next.regions[0].info.placements.clear();
    if (changed) next.regions[0].content[*changed << 14] ^= std::byte{1};
    file = make_file(next);
  }
  static std::size_t place_of(const Bytes& in, std::uint8_t type, std::size_t number = 0) {
    for (const RecordPlace& record : records_of(in)) {
      if (record.head.type == type && number-- == 0) return record.offset;
    }
    ADD_FAILURE() << "no such record";
    return 0;
  }
  Bytes parent_file, file;
};

TEST(FailingParent, EndsTheCheck) {
  const CutChild of;
  const auto memory = memory_source(of.parent_file);
  Fault fault;
  FaultySource failing(*memory, fault);
  fault.arm(Fault::kNever, Fault::Kind::kError, false);
  const auto parent = Reader::open(failing);
  ASSERT_OK(parent);
  fault.arm(0, Fault::Kind::kError, true);
  const auto source = memory_source(of.file);
  const auto report = check(*source, {.parent = parent->get(), .threads = 1});
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, Code::kIo);
  EXPECT_EQ(report.error().ancestor, 1);
}

TEST(DamagedParent, IsReportedOnce) {
  CutChild of(2);
  of.parent_file[CutChild::place_of(of.parent_file, wire::kBlock, 7) + 5000] ^= std::byte{1};
  of.file[CutChild::place_of(of.file, wire::kBlock) + 20] ^= std::byte{1};  // there a region's end is tried
  const auto source = memory_source(of.parent_file);
  const auto parent = Reader::open(*source);
  ASSERT_OK(parent);
  const CheckReport report = check_file(of.file, 1, parent->get());
  EXPECT_EQ(std::count_if(report.damages.begin(), report.damages.end(), [](const Damage& each) { return each.kind == DamageKind::kParent; }), 1)
      << describe(report);
}

// SPEC 12: the size was not announced, so the last page would be the parent's with all that is in it.
TEST(ChildThatIsCut, MayNotHideWhatItsParentHasPastTheEnd) {
  CutChild of;
  const auto source = memory_source(of.parent_file);
  const auto parent = Reader::open(*source);
  ASSERT_OK(parent);
  EXPECT_TRUE(check_file(of.file, 1, parent->get()).clean());
  const std::size_t body = CutChild::place_of(of.file, wire::kRegion) + sizeof(wire::RecordHead);
  const wire::le64 unknown(kUnknownSize);
  std::memcpy(of.file.data() + body + offsetof(wire::RegionBody, announced_size), &unknown, sizeof unknown);
  resign(of.file, {}, parent->get());
  const CheckReport report = check_file(of.file, 1, parent->get());
  ASSERT_EQ(report.damage_count, 1u) << describe(report);
  EXPECT_STREQ(report.damages[0].error.what, "bytes past a region's end are not zero in the parent");
}

// D5: one damaged block of a parent of many.
TEST(DamagedParent, LosesNoMoreThanItsBlock) {
  Sample base;
  base.options.codec = Codec::kStore;
  base.options.block_bytes = 1u << 14;
  base.add(RegionKind::kMemory, "ram", make_content(Pattern::kRandom, std::size_t{600} << 14, 41));
  Bytes bad = make_file(base);
  Chain chain(base);
  Sample next = base;
  for (std::size_t block = 0; block < 600; block += 3) next.regions[0].content[block << 14] ^= std::byte{1};
  chain.add(next);
  std::size_t seen = 0;
  for (const RecordPlace& record : records_of(bad)) {
    if (record.head.type == wire::kBlock && seen++ == 301) bad[record.offset + 5000] ^= std::byte{4};  // block 301 has no record in the child
  }
  auto bad_source = memory_source(bad);
  auto parent = Reader::open(*bad_source);
  ASSERT_OK(parent);
  auto source = memory_source(chain.file());
  auto reader = Reader::open(*source, {.parent = parent->get()});
  ASSERT_OK(reader);
  Bytes out(1u << 14);
  for (std::size_t block = 0; block < 600; ++block) {
    const auto done = (*reader)->read(0, block << 14, out);
    EXPECT_EQ(done.has_value(), block != 301) << block;
    EXPECT_TRUE(!done || std::equal(out.begin(), out.end(), next.regions[0].content.begin() + static_cast<std::ptrdiff_t>(block << 14))) << block;
  }
}

}  // namespace
}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// Chains are as deep as they say, and no file of one can make reading cost more than it should.
#include <gtest/gtest.h>

#include <chrono>

#include "support/chain.h"
#include "support/child_sample.h"
#include "support/resign.h"
#include "support/sanitized.h"

namespace snap::test {
namespace {

// What these tests look out for would take hours, so that a slow machine can be told from it.
constexpr double kMostSeconds = kSanitized ? 200 : 30;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// ---- Depth ----

void set_depth(Bytes& file, std::uint16_t depth) {
  wire::Header header;
  std::memcpy(&header, file.data(), sizeof header);
  header.parent_depth = depth;
  std::memcpy(file.data(), &header, sizeof header);
}

TEST(DeepChain, SixtyFourParentsWorkAndNoMore) {
  Sample sample;
  sample.options.codec = Codec::kZstd;
  sample.options.block_bytes = 1u << 14;
  sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kText, std::size_t{70} * kPage + 9, 51));
  Chain chain(sample);
  Random random(52);
  for (unsigned depth = 1; depth <= 64; ++depth) {
    random.fill(page_of(sample.regions[0].content, depth).first(40));
    chain.add(sample, false, depth % 8 == 0);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_EQ(chain.last().depth(), 64u);
  expect_holds(chain.file(), sample, chain.parent());
  for (const unsigned threads : {0u, 2u}) {
    Bytes restored(sample.regions[0].content.size());
    ASSERT_OK(restore_to_memory(chain.last(), 0, restored, {.threads = threads}));
    EXPECT_TRUE(restored == sample.regions[0].content);
  }
  Sample more = sample;
  more.options.parent = &chain.last();
  EXPECT_EQ(try_make_file(more).error().code, Code::kLimit);
  auto held = hold_in_memory(chain.last(), {});
  ASSERT_OK(held);
  more.options.parent = held->get();
  EXPECT_EQ(try_make_file(more).error().code, Code::kLimit);
}

TEST(DeepChain, ADepthThatMayNotBeIsRefusedAtOnce) {
  const SmallFamily family(SmallChild::kStore);
  for (const unsigned depth : {0u, 65u, 66u, 10000u, 65535u}) {
    Bytes bad = family.file;
    set_depth(bad, static_cast<std::uint16_t>(depth));
    resign(bad, {}, family.parent.get());
    const auto start = std::chrono::steady_clock::now();
    auto source = memory_source(bad);
    const auto opened = Reader::open(*source, {.parent = family.parent.get()});
    ASSERT_FALSE(opened.has_value()) << depth;
    EXPECT_TRUE(opened.error().code == Code::kCorrupt || opened.error().code == Code::kLimit) << explain(opened.error());
    EXPECT_FALSE(read_parent_info(*source).has_value());
    Collector collector;
    EXPECT_FALSE(stream(bad, collector, family.parent.get()).has_value());
    EXPECT_FALSE(check_file(bad, 1, family.parent.get()).clean());
    EXPECT_LT(seconds_since(start), kMostSeconds);
  }
  Bytes deeper = family.file;
  set_depth(deeper, 64);
  resign(deeper, {}, family.parent.get());
  expect_holds(deeper, family.child, family.parent.get());
}

// ---- Cost ----

/// Every other block of a memory changes, in each file another half: nothing of one kind is long.
class Comb : public testing::Test {
 protected:
  static constexpr std::size_t kBlocks = 1200;
  Comb() {
    sample.options.codec = Codec::kLz4;
    sample.options.block_bytes = 1u << 14;
    sample.options.dedup = false;
    sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kRandom, kBlocks << 14, 61));
    chain = std::make_unique<Chain>(sample);
    for (unsigned depth = 1; depth <= 5; ++depth) {
      for (std::size_t block = depth % 2; block < kBlocks; block += 2) sample.regions[0].content[(block << 14) + depth] ^= std::byte{1};
      chain->add(sample, false, false);
    }
  }
  Sample sample;
  std::unique_ptr<Chain> chain;
};

TEST_F(Comb, ExtentsAndStreamsCostNoMoreThanTheFilesTogether) {
  const auto start = std::chrono::steady_clock::now();
  const auto extent = chain->last().extent(0, 0);
  ASSERT_OK(extent);
  EXPECT_TRUE(extent->data);
  EXPECT_EQ(extent->length, kBlocks << 14);
  EXPECT_LT(seconds_since(start), kMostSeconds);
  Collector collector;
  ASSERT_OK(stream(chain->file(), collector, chain->parent()));
  EXPECT_TRUE(collector.contents[0] == sample.regions[0].content);
  EXPECT_LT(seconds_since(start), kMostSeconds);
}

// Each file's blocks have a dictionary of pages of all other blocks of the file below: what one page costs without a cache doubles and
// doubles. Built by hand, since the writer makes no such thing; the digests of content are not right.
class Exponential : public testing::Test {
 protected:
  static constexpr std::size_t kBlocks = 33;
  static constexpr std::size_t kBlockPages = 4;

  Exponential() {
    Sample sample;
    sample.options.codec = Codec::kStore;
    sample.options.block_bytes = 1u << 14;
    sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kRandom, (kBlocks * kBlockPages) * kPage, 71));
    files.push_back(make_file(sample));
    open_last(nullptr);
    const Sample same = sample;
    for (unsigned depth = 1; depth <= 40; ++depth) {
      Sample next = same;
      next.options.parent = &base();
      files.push_back(with_dictionaries(make_file(next), static_cast<std::uint16_t>(depth)));
      open_last(readers.back().get());
      if (HasFatalFailure()) return;
    }
  }

  Reader& base() { return *readers.front(); }

  // An unchanged child gets a block record for each block, and an index over them.
  Bytes with_dictionaries(Bytes file, std::uint16_t depth) {
    set_depth(file, depth);
    Bytes out;
    for (const RecordPlace& place : records_of(file)) {
      if (out.empty()) out.assign(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(place.offset));
      if (place.head.type == wire::kClose) {
        for (std::size_t block = 0; block < kBlocks; ++block) add(out, wire::kBlock, 3, kBlockPages, block, block_body(block));
        Bytes node(32 + kBlocks * sizeof(wire::NodeEntry));
        for (std::size_t block = 0; block < kBlocks; ++block) node[block / 8] |= std::byte{1} << static_cast<int>(block % 8);
        add(out, wire::kNode, 0, 0, 0, node);
        Bytes body(sizeof(wire::CloseBody));
        wire::CloseBody close{};
        close.block_records = kBlocks;
        std::memcpy(body.data(), &close, sizeof close);
        add(out, wire::kClose, 0, 0, kBlocks * kBlockPages * kPage, body);
      } else {
        Bytes record(file.begin() + static_cast<std::ptrdiff_t>(place.offset), file.begin() + static_cast<std::ptrdiff_t>(place.offset + place.bytes));
        if (place.head.type == wire::kParent) {
          std::memcpy(record.data() + sizeof(wire::RecordHead), readers.back()->digest().bytes.data(), 32);
        }
        append(out, record);
      }
    }
    append(out, std::span(file).last(sizeof(wire::Trailer)));
    resign(out, {.digests = false});
    return out;
  }

  static void add(Bytes& out, wire::RecordType type, std::uint8_t codec, std::uint32_t aux, std::uint64_t number, const Bytes& body) {
    wire::RecordHead head{};
    head.type = type;
    head.codec = codec;
    head.aux = aux;
    head.number = number;
    head.body_bytes = static_cast<std::uint32_t>(body.size());
    append(out, bytes_of(head));
    append(out, body);
  }

  // Page 0 raw, the others the same; page 0 of every other block is named. The frame is 4096 times one byte.
  static Bytes block_body(std::size_t block) {
    Bytes body{std::byte{0x12}, std::byte{0x11}};
    append(body, bytes_of(wire::le16(kBlocks - 1)));
    for (std::size_t other = 0; other < kBlocks; ++other) {
      if (other == block) continue;
      const wire::le64 number(other * kBlockPages);
      append(body, bytes_of(number).first(5));
    }
    for (const int byte : {0x28, 0xB5, 0x2F, 0xFD, 0x60, 0x00, 0x0F, 0x03, 0x80, 0x00, 0x78}) body.push_back(static_cast<std::byte>(byte));
    return body;
  }

  void open_last(Reader* parent) {
    sources.push_back(memory_source(files.back()));
    auto reader = Reader::open(*sources.back(), {.cache_bytes = 0, .parent = parent});
    ASSERT_OK(reader);
    readers.push_back(std::move(*reader));
  }

  std::deque<Bytes> files;
  std::vector<std::unique_ptr<RandomSource>> sources;
  std::vector<std::unique_ptr<Reader>> readers;
};

TEST_F(Exponential, IsRefusedByEveryWayOfReading) {
  Bytes memory(kBlocks * kBlockPages * kPage);
  Bytes page(kPage);
  ASSERT_OK(readers[1]->read(0, 0, page));
  ASSERT_OK(readers[2]->read(0, 0, page));
  EXPECT_TRUE(page == Bytes(kPage, std::byte{'x'}));
  const auto expect_limit = [](const char* what, const Result<void>& result, std::chrono::steady_clock::time_point start) {
    ASSERT_FALSE(result.has_value()) << what;
    EXPECT_EQ(result.error().code, Code::kLimit) << what << ": " << explain(result.error());
    EXPECT_LT(seconds_since(start), kMostSeconds) << what;
  };
  Reader& last = *readers.back();
  auto start = std::chrono::steady_clock::now();
  expect_limit("read", last.read(0, 0, page), start);
  start = std::chrono::steady_clock::now();
  expect_limit("restore", restore_to_memory(last, 0, memory, {.threads = 0}), start);
  start = std::chrono::steady_clock::now();
  expect_limit("apply", apply_changes(last, 0, memory, {.threads = 0}), start);
  start = std::chrono::steady_clock::now();
  Collector collector;
  const auto streamed = stream(files.back(), collector, last.parent());
  expect_limit("stream", streamed ? Result<void>() : Result<void>(streamed.error()), start);
  start = std::chrono::steady_clock::now();
  auto source = memory_source(files.back());
  const auto report = check(*source, {.parent = last.parent()});
  expect_limit("check", report ? Result<void>() : Result<void>(report.error()), start);
}

// Pages and blocks that are not there cost nothing, however many they are.
TEST(HugeRegions, OfAChildCostNothing) {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 52;
  Sample base;
  base.options.block_bytes = 1u << 14;
  base.add(RegionKind::kMemory, "ram", make_content(Pattern::kText, 9 * kPage + 5, 81));
  Chain chain(base);
  const auto start = std::chrono::steady_clock::now();
  std::deque<Bytes> files;
  std::vector<std::unique_ptr<RandomSource>> sources;
  std::vector<std::unique_ptr<Reader>> readers;
  Reader* parent = &chain.last();
  for (const bool unknown : {false, true, false}) {
    auto pages = ParentPages::index(*parent, {});
    ASSERT_OK(pages);
    auto sink = memory_sink(files.emplace_back());
    auto writer = Writer::create(*sink, {.block_bytes = 1u << 14, .parent = parent, .parent_pages = pages->get()});
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", unknown ? kUnknownSize : kHuge, 12, {}}));
    ASSERT_OK((*writer)->write(std::span(base.regions[0].content).first(kPage)));
    ASSERT_OK((*writer)->skip(kHuge - 2 * kPage));
    ASSERT_OK((*writer)->write(Bytes(kPage, static_cast<std::byte>(readers.size() + 1))));
    ASSERT_OK((*writer)->end_region());
    ASSERT_OK((*writer)->finish());
    sources.push_back(memory_source(files.back()));
    auto reader = Reader::open(*sources.back(), {.parent = parent});
    ASSERT_OK(reader);
    class Count final : public StreamVisitor {
     public:
      Result<void> region_begin(std::size_t, const RegionInfo&) override { return {}; }
      Result<void> region_bytes(std::size_t, std::uint64_t, std::span<const std::byte> bytes) override {
        delivered += bytes.size();
        return {};
      }
      Result<void> region_end(std::size_t, std::uint64_t) override { return {}; }
      std::uint64_t delivered = 0;
    } count;
    ASSERT_OK(stream(files.back(), count, parent));
    EXPECT_LT(count.delivered, 1u << 20);
    const CheckReport report = check_file(files.back(), 1, parent);
    EXPECT_TRUE(report.clean() && report.content_compared) << describe(report);
    std::uint64_t changed = 0;
    ASSERT_OK(visit_changes(**reader, 0, [&](const ChangedRange& range) -> Result<void> {
      changed += range.length;
      return {};
    }));
    EXPECT_LE(changed, 10 * kPage);
    std::size_t extents = 0;
    for (std::uint64_t at = 0; at < kHuge; ++extents) {
      const auto extent = (*reader)->extent(0, at);
      ASSERT_OK(extent);
      at += extent->length;
    }
    EXPECT_LE(extents, 4u);
    readers.push_back(std::move(*reader));
    parent = readers.back().get();
    EXPECT_EQ(hold_in_memory(*parent, {}).error().code, Code::kNoMemory);
  }
  EXPECT_LT(seconds_since(start), kMostSeconds);
}

}  // namespace
}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
#include "image/index.h"

#include <gtest/gtest.h>

#include "codec/checksum.h"
#include "support/sample.h"

namespace snap::test {
namespace {

IndexEntry entry_of(std::uint64_t block) {
  const wire::le64 bytes(block);
  return {{block * 100 + 64, 100, block}, digest_of(bytes_of(bytes))};
}

TEST(RootLevel, CoversAllBlocks) {
  for (const auto& [blocks, level] : {std::pair<std::uint64_t, unsigned>{0, 0}, {1, 0}, {256, 0}, {257, 1}, {65536, 1}, {65537, 2}, {1u << 24, 2},
                                      {(1u << 24) + 1, 3}, {std::uint64_t{1} << 38, 4}}) {
    EXPECT_EQ(root_level(blocks), level) << blocks;
  }
}

TEST(IndexNode, FindsWhatWasSet) {
  Random random(1);
  for (int round = 0; round < 50; ++round) {
    IndexNode node;
    std::vector<bool> there(256);
    for (unsigned child = 0; child < 256; ++child) {
      there[child] = round == 0 || random.below(256) < static_cast<std::uint64_t>(round * 5) || child == 77;
      if (there[child]) node.set(child, entry_of(child));
    }
    Record record{.offset = 1u << 20};
    const Bytes body = node.encode();
    const auto parsed = parse_node(record, body);
    ASSERT_OK(parsed);
    for (unsigned child = 0; child < 256; ++child) {
      for (const IndexEntry* found : {node.find(child), parsed->find(child)}) {
        ASSERT_EQ(found != nullptr, there[child]);
        EXPECT_TRUE(found == nullptr || *found == entry_of(child));
      }
    }
    EXPECT_EQ(node.digest(4), parsed->digest(4));
  }
}

TEST(IndexNode, TakesEntriesInAnyOrder) {
  IndexNode ascending;
  IndexNode any;
  for (const unsigned child : {3u, 70u, 130u, 200u, 255u}) ascending.set(child, entry_of(child));
  for (const unsigned child : {200u, 3u, 255u, 130u, 200u, 70u, 3u}) any.set(child, entry_of(child));
  EXPECT_TRUE(any.encode() == ascending.encode());
  EXPECT_EQ(any.find(4), nullptr);
}

TEST(IndexNode, RefusesBodiesThatDoNotFit) {
  IndexNode node;
  node.set(3, entry_of(3));
  node.set(200, entry_of(200));
  const Bytes body = node.encode();
  const Record record{.offset = 1u << 20};
  ASSERT_OK(parse_node(record, body));
  for (std::size_t size = 0; size < body.size(); ++size) EXPECT_FALSE(parse_node(record, std::span(body).first(size)));
  Bytes longer = body;
  longer.resize(body.size() + 1);
  EXPECT_FALSE(parse_node(record, longer));
  EXPECT_FALSE(parse_node(record, Bytes(32)));
  const auto refused = [&](std::size_t at, std::uint64_t value, std::size_t bytes) {
    Bytes bad = body;
    std::memcpy(bad.data() + at, &value, bytes);
    return !parse_node(record, bad);
  };
  EXPECT_TRUE(refused(32, 1u << 20, 8)) << "at the node itself";
  EXPECT_TRUE(refused(32, ~std::uint64_t{0}, 8));
  EXPECT_TRUE(refused(40, 47, 4)) << "shorter than a head";
  EXPECT_TRUE(refused(40, 0xFFFFFFFF, 4)) << "into the node";
  EXPECT_TRUE(refused(40, 20000, 4)) << "into the next child";
  EXPECT_TRUE(refused(84, 0, 8)) << "out of order";
}

// The nodes that a builder writes, in order, for some blocks.
struct Written {
  unsigned level;
  std::uint64_t number;
  std::vector<unsigned> children;
};

TEST(IndexBuilder, WritesEachNodeWhenItsRangeIsComplete) {
  std::vector<Written> written;
  std::vector<std::uint64_t> added;
  std::vector<std::size_t> added_before;
  IndexBuilder builder(4, [&](unsigned level, std::uint64_t number, IndexNode& node) -> Result<RecordRef> {
    Written one{level, number, {}};
    for (unsigned child = 0; child < 256; ++child) {
      if (node.find(child) != nullptr) one.children.push_back(child);
    }
    written.push_back(one);
    added_before.push_back(added.size());
    return RecordRef{100000000 + written.size() * 1000, 1000, written.size()};
  });
  const std::uint64_t blocks[] = {0, 5, 255, 256, 1000, 65535, 65536, 70000, 200000};
  for (const std::uint64_t block : blocks) {
    ASSERT_OK(builder.advance_to(block));
    builder.add(block, entry_of(block));
    added.push_back(block);
  }
  const auto root = builder.finish(300000);
  ASSERT_OK(root);
  ASSERT_TRUE(root->has_value());
  const std::vector<std::pair<unsigned, std::uint64_t>> expected = {{0, 0}, {0, 1}, {0, 3}, {0, 255}, {1, 0}, {0, 256}, {0, 273}, {1, 1}, {0, 781}, {1, 3}, {2, 0}};
  ASSERT_EQ(written.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(written[i].level, expected[i].first);
    EXPECT_EQ(written[i].number, expected[i].second);
  }
  EXPECT_EQ(added_before[0], 3u);
  EXPECT_EQ(written.back().children, (std::vector<unsigned>{0, 1, 3}));
  EXPECT_EQ((*root)->record.head_check, written.size());
}

TEST(IndexBuilder, HasNoRootWithoutABlock) {
  IndexBuilder builder(4, [](unsigned, std::uint64_t, IndexNode&) -> Result<RecordRef> { return RecordRef{}; });
  const auto root = builder.finish(1000000);
  ASSERT_OK(root);
  EXPECT_FALSE(root->has_value());
}

TEST(IndexBuilder, PassesOnWhatWritingAnswers) {
  IndexBuilder builder(4, [](unsigned, std::uint64_t, IndexNode&) -> Result<RecordRef> { return Error{Code::kIo, 28, 0, 0, "full", 0}; });
  builder.add(0, entry_of(0));
  EXPECT_FALSE(builder.advance_to(256));
  EXPECT_FALSE(builder.finish(257));
}

}  // namespace
}  // namespace snap::test

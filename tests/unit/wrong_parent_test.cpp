// SPDX-License-Identifier: Apache-2.0
// A parent is the right one or refused, before anything is read from it.
#include <gtest/gtest.h>

#include "support/chain.h"
#include "support/child_sample.h"
#include "support/faulty.h"

namespace snap::test {
namespace {

void expect_refused(std::span<const std::byte> file, Reader* parent) {
  auto source = memory_source(file);
  const auto opened = Reader::open(*source, {.parent = parent});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kParentMismatch) << explain(opened.error());
  Collector collector;
  const auto streamed = stream(file, collector, parent);
  ASSERT_FALSE(streamed.has_value());
  EXPECT_EQ(streamed.error().code, Code::kParentMismatch) << explain(streamed.error());
  EXPECT_TRUE(collector.infos.empty()) << "a region was delivered";
  if (parent == nullptr) return;
  const auto checked = check(*source, {.parent = parent});
  ASSERT_FALSE(checked.has_value());
  EXPECT_EQ(checked.error().code, Code::kParentMismatch) << explain(checked.error());
  Bytes out;
  auto sink = memory_sink(out);
  EXPECT_EQ(repair(*source, *sink, {.parent = parent}).error().code, Code::kParentMismatch);
}

class WrongParent : public testing::Test, public SmallFamily {
 protected:
  WrongParent() : SmallFamily(SmallChild::kNamed) {}

  // `other` is opened, and from then on not to be read.
  void expect_other_refused(const Sample& other) {
    const Bytes bytes = make_file(other);
    auto inner = memory_source(bytes);
    CountingSource counting(*inner);
    auto reader = Reader::open(counting);
    ASSERT_OK(reader);
    counting.reset();
    expect_refused(file, reader->get());
    EXPECT_EQ(counting.reads, 0u) << "the wrong parent was read";
  }
};

TEST_F(WrongParent, Missing) { expect_refused(file, nullptr); }

TEST_F(WrongParent, OneByteIsDifferent) {
  Sample other = parent_sample;
  other.regions[0].content[10 * kPage] ^= std::byte{1};
  expect_other_refused(other);
  other = parent_sample;
  other.regions[1].content.back() ^= std::byte{1};
  expect_other_refused(other);
}

TEST_F(WrongParent, OfOtherSizesNamesAndOrder) {
  Sample other = parent_sample;
  other.regions[0].content.push_back(std::byte{0});
  other.regions[0].info.size += 1;
  expect_other_refused(other);
  other = parent_sample;
  other.regions[0].content.resize(other.regions[0].content.size() - kPage);
  other.regions[0].info.size -= kPage;
  other.regions[0].info.placements[0].length -= kPage;
  expect_other_refused(other);
  other = parent_sample;
  other.regions[0].info.name = "RAM";
  expect_other_refused(other);
  other = parent_sample;
  other.regions[0].info.kind = RegionKind::kState;
  other.regions[0].info.placements.clear();
  expect_other_refused(other);
  other = parent_sample;
  std::swap(other.regions[0], other.regions[1]);
  expect_other_refused(other);
  other = parent_sample;
  other.regions.pop_back();
  expect_other_refused(other);
  other = parent_sample;
  other.add(RegionKind::kState, "more", {});
  expect_other_refused(other);
}

TEST_F(WrongParent, OlderAndNewerOnesOfTheChain) {
  Chain chain(parent_sample);
  Sample next = child;
  chain.add(next);
  next.regions[0].content[3 * kPage] ^= std::byte{1};
  chain.add(next);
  const Bytes grandchild = chain.file();
  next.regions[0].content[6 * kPage] ^= std::byte{1};
  chain.add(next);
  expect_refused(grandchild, &chain.reader(0));
  expect_refused(grandchild, &chain.reader(2));
  expect_refused(grandchild, &chain.reader(3));
  expect_refused(file, &chain.reader(1));
}

// How the content is stored is all the same: compressed anew, in other blocks, flattened, held.
TEST_F(WrongParent, IsNotOneThatStoresTheSameOtherwise) {
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    for (const std::uint32_t block : {1u << 14, 1u << 18}) {
      Sample other = parent_sample;
      other.options.codec = codec;
      other.options.block_bytes = block;
      Chain chain(other);
      expect_holds(file, child, &chain.last());
      auto held = hold_in_memory(chain.last(), {});
      ASSERT_OK(held);
      expect_holds(file, child, held->get());
    }
  }
}

// An unchanged child has its parent's digest: only the depths tell that it is not its own parent.
TEST_F(WrongParent, AnUnchangedChildOfTheSameDepth) {
  Chain chain(parent_sample);
  chain.add(parent_sample);
  const Bytes first = chain.file();
  expect_refused(first, &chain.reader(1));
  chain.add(parent_sample);
  expect_refused(first, &chain.reader(2));
  expect_refused(chain.file(), &chain.reader(2));
  expect_holds(chain.file(), parent_sample, &chain.reader(1));
  expect_holds(chain.file(), parent_sample, &chain.reader(0));  // less deep than it says
}

TEST_F(WrongParent, ForASnapshotThatHasNone) {
  auto source = memory_source(parent_file);
  EXPECT_EQ(Reader::open(*source, {.parent = parent.get()}).error().code, Code::kParentMismatch);
}

TEST_F(WrongParent, NoParentFoundForAStream) {
  auto source = memory_source(file);
  Collector collector;
  auto bytes = range_stream(*source, 0, file.size());
  EXPECT_EQ(read_stream(*bytes, collector, [](const ParentRef&) -> Result<Reader*> { return nullptr; }).error().code, Code::kParentMismatch);
  bytes = range_stream(*source, 0, file.size());
  const auto failing = [](const ParentRef&) -> Result<Reader*> { return Error{Code::kIo, 5, 0, 0, "it is elsewhere", 0}; };
  EXPECT_EQ(read_stream(*bytes, collector, failing).error().code, Code::kIo);
  EXPECT_TRUE(collector.infos.empty());
}

TEST_F(WrongParent, TheStreamNamesTheParent) {
  auto source = memory_source(file);
  auto bytes = range_stream(*source, 0, file.size());
  Collector collector;
  std::optional<ParentRef> named;
  ASSERT_OK(read_stream(*bytes, collector, [&](const ParentRef& ref) -> Result<Reader*> {
    named = ref;
    return parent.get();
  }));
  ASSERT_TRUE(named.has_value());
  EXPECT_EQ(named->digest, parent->digest());
  EXPECT_EQ(named->hint, "base");
  const auto info = read_parent_info(*source);
  ASSERT_OK(info);
  EXPECT_EQ(info->parent, named);
  EXPECT_EQ(info->depth, 1u);
}

}  // namespace
}  // namespace snap::test

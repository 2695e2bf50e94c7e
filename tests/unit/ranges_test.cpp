// SPDX-License-Identifier: Apache-2.0
// Stretches of a region on their way into another format, what changed since a base, and a base's memory kept for others.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "snap/restore.h"
#include "support/chain.h"

namespace snap::test {
namespace {

constexpr std::uint64_t kPages = 700;

class Collected final : public ByteSink {
 public:
  Result<void> write(std::span<const std::byte> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  }
  Bytes bytes;
};

/// A base, a child of it, and a child of that.
class ThreeDeep : public testing::Test {
 protected:
  ThreeDeep() {
    Sample sample;
    sample.options.block_bytes = 1u << 16;
    sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, kPages * kPage, 7));
    for (unsigned depth = 0; depth < 3; ++depth) {
      if (depth != 0) sample.regions[0].content = worked_on(contents.back(), 8 + depth, 40);
      contents.push_back(sample.regions[0].content);
      sample.options.parent = depth == 0 ? nullptr : readers.back().get();
      files.push_back(make_file(sample));
      sources.push_back(memory_source(files.back()));
      auto reader = Reader::open(*sources.back(), {.parent = depth == 0 ? nullptr : readers.back().get()});
      EXPECT_OK(reader);
      readers.push_back(std::move(*reader));
    }
  }
  Reader& last() { return *readers.back(); }

  /// What visit_changes_since() tells, page by page: 0 the same, 1 changed, 2 zero.
  std::vector<char> changes_since(std::size_t base, std::vector<ChangedRange>* ranges = nullptr) {
    std::vector<char> pages(kPages);
    std::uint64_t end = 0;
    EXPECT_OK(visit_changes_since(last(), 0, *readers[base], [&](const ChangedRange& range) -> Result<void> {
      EXPECT_GE(range.offset, end);
      EXPECT_EQ(range.length % kPage, 0u);
      end = range.offset + range.length;
      for (std::uint64_t at = range.offset; at < end; at += kPage) pages[at / kPage] = range.zero ? 2 : 1;
      if (ranges != nullptr) ranges->push_back(range);
      return {};
    }));
    return pages;
  }

  std::vector<Bytes> contents, files;
  std::vector<std::unique_ptr<RandomSource>> sources;
  std::vector<std::unique_ptr<Reader>> readers;
};

class Ranges : public ThreeDeep, public testing::WithParamInterface<unsigned> {};
class HeldRegion : public ThreeDeep {};

bool same_page(const Bytes& a, const Bytes& b, std::uint64_t page) {
  const auto at = static_cast<std::ptrdiff_t>(page * kPage);
  return std::equal(a.begin() + at, a.begin() + at + static_cast<std::ptrdiff_t>(kPage), b.begin() + at);
}

TEST_P(Ranges, EveryPageThatDiffersFromAnAncestorIsTold) {
  for (std::size_t base = 0; base < 3; ++base) {
    const auto told = changes_since(base);
    std::uint64_t too_many = 0;
    for (std::uint64_t page = 0; page < kPages; ++page) {
      const bool differs = !same_page(contents[2], contents[base], page);
      EXPECT_LE(differs, told[page] != 0) << base << " " << page;
      too_many += !differs && told[page] != 0;
      if (told[page] != 2) continue;
      const auto bytes = std::span(contents[2]).subspan(page * kPage, kPage);
      EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](std::byte each) { return each == std::byte{0}; })) << page;
    }
    EXPECT_LT(too_many, kPages / 10) << base;
    EXPECT_TRUE(base != 2 || std::count(told.begin(), told.end(), 0) == kPages);
  }
  Sample other;
  other.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, kPages * kPage, 99));
  const Bytes file = make_file(other);
  const auto source = memory_source(file);
  const auto stranger = Reader::open(*source, {});
  ASSERT_OK(stranger);
  EXPECT_EQ(visit_changes_since(last(), 0, **stranger, [](const ChangedRange&) -> Result<void> { return {}; }).error().code, Code::kParentMismatch);
}

TEST_P(Ranges, ComeOutInOrderEachWithItsOwnBytes) {
  std::vector<ChangedRange> ranges;
  changes_since(0, &ranges);
  ASSERT_GT(ranges.size(), 10u);
  const PieceEncoder encode = [](const RegionPiece& piece, Bytes& out) -> Result<void> {
    for (std::uint64_t at = 0; at < piece.length; at += kPage) {
      const std::uint64_t offset = piece.offset + at;
      const auto* const head = reinterpret_cast<const std::byte*>(&offset);
      out.insert(out.end(), head, head + sizeof offset);
      if (piece.bytes.empty()) {
        out.resize(out.size() + kPage);
      } else {
        const auto page = piece.bytes.subspan(at, kPage);
        out.insert(out.end(), page.begin(), page.end());
      }
    }
    return {};
  };
  Bytes expected;
  for (const ChangedRange& range : ranges) {
    ASSERT_OK(encode({range.offset, range.length, std::span(contents[2]).subspan(range.offset, range.length)}, expected));
  }
  Collected collected;
  ASSERT_OK(restore_encoded(last(), 0, ranges, encode, collected, {.threads = GetParam()}));
  EXPECT_TRUE(collected.bytes == expected);

  Collected whole;
  ASSERT_OK(restore_encoded(last(), 0, encode, whole, {.threads = GetParam()}));
  expected.clear();
  ASSERT_OK(encode({0, contents[2].size(), contents[2]}, expected));
  EXPECT_TRUE(whole.bytes == expected);

  const ChangedRange beyond{.offset = (kPages - 1) * kPage, .length = 2 * kPage};
  EXPECT_EQ(restore_encoded(last(), 0, {&beyond, 1}, encode, whole, {.threads = GetParam()}).error().code, Code::kInvalidArgument);
}

TEST_P(Ranges, AnErrorOfTheEncoderEndsThem) {
  const PieceEncoder encode = [](const RegionPiece& piece, Bytes&) -> Result<void> {
    if (piece.offset >= kPages / 2 * kPage) return Error{.code = Code::kUnsupported, .what = "no"};
    return {};
  };
  Collected collected;
  EXPECT_EQ(restore_encoded(last(), 0, encode, collected, {.threads = GetParam()}).error().code, Code::kUnsupported);
}

INSTANTIATE_TEST_SUITE_P(Threads, Ranges, testing::Values(0, 1, 4));

TEST_F(HeldRegion, IsKeptForAnotherProcess) {
  auto made = hold_region(*readers[0], 0, "ranges-test", {.threads = 2});
  ASSERT_OK(made);
  const int fd = ::dup((*made)->memory_fd(0));
  made->reset();
  // By its descriptor alone, as another process has it.
  auto held = hold_with(*readers[0], 0, fd);
  ASSERT_OK(held);
  Bytes read(contents[0].size());
  ASSERT_OK((*held)->read(0, 0, read));
  EXPECT_TRUE(read == contents[0]);
  const auto child = Reader::open(*sources[1], {.parent = held->get()});
  ASSERT_OK(child);
  ASSERT_OK((*child)->read(0, 0, read));
  EXPECT_TRUE(read == contents[1]);
  EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);  // sealed
  ::close(fd);
}

TEST_F(HeldRegion, TakesOnlySealedMemoryOfItsSize) {
  for (const bool right_size : {false, true}) {
    const int fd = ::memfd_create("ranges-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(contents[0].size() - (right_size ? 0 : kPage))), 0);
    if (!right_size) {
      ASSERT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    }
    EXPECT_EQ(hold_with(*readers[0], 0, fd).error().code, Code::kInvalidArgument);
    ::close(fd);
  }
  EXPECT_EQ(hold_region(*readers[0], 1, "ranges-test", {}).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace snap::test

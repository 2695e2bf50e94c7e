// SPDX-License-Identifier: Apache-2.0
// One input gives one sequence of bytes, however it is handed over; what a caller does wrong is answered, and stays answered.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "support/damage.h"
#include "support/faulty.h"
#include "support/sample.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

RegionInfo memory(std::string name, std::uint64_t size = kUnknownSize) { return {RegionKind::kMemory, std::move(name), size, 12, {}}; }

using Feed = std::function<Result<void>(Writer&, std::span<const std::byte>)>;

Result<void> whole(Writer& writer, std::span<const std::byte> bytes) { return writer.write(bytes); }

Feed chunks(std::uint64_t seed, std::size_t most) {
  return [=](Writer& writer, std::span<const std::byte> bytes) -> Result<void> {
    Random random(seed);
    while (!bytes.empty()) {
      const std::size_t now = std::min<std::size_t>(bytes.size(), random.below(most) + (most == 1));
      if (auto result = writer.write(bytes.first(now)); !result) return result;
      bytes = bytes.subspan(now);
    }
    return {};
  };
}

// Zero bytes are skipped, the rest comes from memory or a source, in pieces of any size.
Feed mixture(std::uint64_t seed) {
  return [=](Writer& writer, std::span<const std::byte> bytes) -> Result<void> {
    Random random(seed);
    auto source = memory_source(bytes);
    const auto zero = [&](std::size_t at) { return bytes[at] == std::byte{0}; };
    for (std::size_t at = 0; at < bytes.size();) {
      std::size_t end = at;
      while (end < bytes.size() && zero(end) == zero(at)) ++end;
      if (zero(at) && end - at > 100) {
        if (auto result = writer.skip(end - at); !result) return result;
      } else {
        end = std::min<std::size_t>(bytes.size(), end + random.below(500000));
        auto result = random.one_in(2) ? writer.write(bytes.subspan(at, end - at)) : writer.write_from(*source, at, end - at);
        // The source must stay until the region ends; here it is memory that does.
        if (!result) return result;
      }
      at = end;
    }
    return writer.end_region();
  };
}

Bytes write_with(const WriterOptions& options, std::span<const std::byte> content, const Feed& feed, bool unknown = false) {
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, options);
  EXPECT_OK(writer);
  EXPECT_OK((*writer)->set_metadata("k", "v"));
  EXPECT_OK((*writer)->begin_region(memory("ram", unknown ? kUnknownSize : content.size())));
  EXPECT_OK(feed(**writer, content));
  // A feed may have ended the region itself.
  if (Result<void> ended = (*writer)->set_metadata("late", "x"); !ended) ADD_FAILURE() << explain(ended.error());
  EXPECT_OK((*writer)->finish());
  return file;
}

Feed ended(Feed feed) {
  return [feed = std::move(feed)](Writer& writer, std::span<const std::byte> bytes) -> Result<void> {
    if (auto result = feed(writer, bytes); !result) return result;
    return writer.end_region();
  };
}

/// A stream in pieces of any size, as a pipe gives it.
class Trickle final : public ByteSource {
 public:
  Trickle(std::span<const std::byte> bytes, std::uint64_t seed) : left_(bytes), random_(seed) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t now = std::min({out.size(), left_.size(), 1 + static_cast<std::size_t>(random_.below(70000))});
    std::copy_n(left_.begin(), now, out.begin());
    left_ = left_.subspan(now);
    return now;
  }

 private:
  std::span<const std::byte> left_;
  Random random_;
};

// The first bytes in one call, the rest as a stream.
Feed stream_behind(std::size_t first) {
  return [=](Writer& writer, std::span<const std::byte> bytes) -> Result<void> {
    if (auto result = writer.write(bytes.first(first)); !result) return result;
    Trickle trickle(bytes.subspan(first), first);
    if (auto result = writer.write_rest(trickle); !result) return result;
    return writer.end_region();
  };
}

TEST(Writer, GivesTheSameBytesHoweverItIsFed) {
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    for (const unsigned log2 : {14u, 16u, 20u}) {
      const Bytes content = make_content(Pattern::kMixed, (std::size_t{5} << 20) + 4711, log2);
      WriterOptions options;
      options.codec = codec;
      options.block_bytes = 1u << log2;
      options.threads = 0;
      const Bytes expected = write_with(options, content, ended(whole));
      for (const unsigned threads : {0u, 1u, 2u, 7u, 16u}) {
        SCOPED_TRACE(std::string(codec_name(codec)) + " " + std::to_string(log2) + " threads " + std::to_string(threads));
        options.threads = threads;
        EXPECT_TRUE(write_with(options, content, ended(whole)) == expected);
        EXPECT_TRUE(write_with(options, content, ended(chunks(threads, 70001))) == expected);
        EXPECT_TRUE(write_with(options, content, mixture(threads)) == expected);
        EXPECT_TRUE(write_with(options, content, stream_behind(0)) == expected);
        EXPECT_TRUE(write_with(options, content, stream_behind(std::size_t{1} << 20)) == expected);
        EXPECT_TRUE(write_with(options, content, stream_behind(content.size() - 4711)) == expected);
        auto source = memory_source(content);
        EXPECT_TRUE(write_with(options, content, ended([&](Writer& writer, std::span<const std::byte> bytes) {
                                 return writer.write_from(*source, 0, bytes.size());
                               })) == expected);
      }
    }
  }
}

TEST(Writer, GivesTheSameBytesFromASparseFile) {
  Bytes content(std::size_t{3} << 20);
  const Bytes some = make_content(Pattern::kRandom, 300000, 1);
  std::copy(some.begin(), some.end(), content.begin() + 1000000);
  const TemporaryFile file;
  ASSERT_EQ(::ftruncate(file.fd(), static_cast<off_t>(content.size())), 0);
  ASSERT_EQ(::pwrite(file.fd(), some.data(), some.size(), 1000000), static_cast<ssize_t>(some.size()));
  auto source = file_source(file.fd());
  WriterOptions options;
  options.threads = 2;
  const Bytes expected = write_with(options, content, ended(whole));
  EXPECT_TRUE(write_with(options, content, ended([&](Writer& writer, std::span<const std::byte> bytes) {
                           return writer.write_from(*source, 0, bytes.size());
                         })) == expected);
}

TEST(Writer, TakesOneByteAtATime) {
  const Bytes content = make_content(Pattern::kText, 20000, 1);
  WriterOptions options;
  EXPECT_TRUE(write_with(options, content, ended(chunks(1, 1))) == write_with(options, content, ended(whole)));
}

TEST(Writer, TakesPagesInAnyOrderAndTheLastOneWins) {
  for (const bool unknown : {false, true}) {
    for (const unsigned threads : {0u, 2u}) {
      Sample sample;
      sample.options.threads = threads;
      Bytes file;
      auto sink = memory_sink(file);
      auto writer = Writer::create(*sink, sample.options);
      ASSERT_OK(writer);
      for (std::uint64_t number = 0; number < 2; ++number) {
        Random random(number + 5);
        const std::size_t size = (std::size_t{2} << 20) + 123;
        Bytes content(size);
        const RegionInfo info = memory(std::string("r").append(std::to_string(number)), unknown ? kUnknownSize : size);
        ASSERT_OK((*writer)->begin_region(info, PageOrder::kAnyOrder));
        ASSERT_OK((*writer)->write_at(size - 1, Bytes(1, std::byte{1})));
        content[size - 1] = std::byte{1};
        for (int i = 0; i < 2000; ++i) {
          const std::size_t at = random.below(size / kPage) * kPage;
          const Bytes page = make_content(Pattern::kMixed, kPage, random.next());
          ASSERT_OK((*writer)->write_at(at, page));
          std::copy(page.begin(), page.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
        }
        ASSERT_OK((*writer)->end_region());
        sample.add(RegionKind::kMemory, info.name, std::move(content));
        sample.regions.back().info.placements.clear();
      }
      const auto digest = (*writer)->finish();
      ASSERT_OK(digest);
      expect_holds(file, sample);
      // The same content in order gives the same file.
      sample.regions[0].size_unknown = sample.regions[1].size_unknown = unknown;
      EXPECT_TRUE(make_file(sample) == file);
    }
  }
}

TEST(Writer, KeepsARepeatedPageOnce) {
  Sample sample;
  sample.options.codec = Codec::kStore;
  const Bytes page = make_content(Pattern::kRandom, kPage, 1);
  Bytes ram;
  for (int i = 0; i < 100; ++i) ram.insert(ram.end(), page.begin(), page.end());
  sample.add(RegionKind::kMemory, "ram", std::move(ram));
  const Bytes once = make_file(sample);
  EXPECT_LT(once.size(), 3 * kPage);
  sample.options.dedup = false;
  EXPECT_GT(make_file(sample).size(), 100 * kPage);
}

TEST(Writer, StoresWhatDoesNotShrink) {
  for (const Codec codec : {Codec::kLz4, Codec::kZstd}) {
    Sample sample;
    sample.options.codec = codec;
    sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kRandom, 1 << 20, 1));
    const Bytes file = make_file(sample);
    EXPECT_LT(file.size(), (1u << 20) + 8192);
    for (const RecordPlace& place : records_of(file)) EXPECT_EQ(place.head.codec, 0);
  }
}

TEST(Writer, DigestDependsOnContentOnly) {
  const Bytes content = make_content(Pattern::kMixed, 5000000, 1);
  Digest first;
  for (const unsigned log2 : {14u, 15u, 16u, 17u, 18u, 19u, 20u, 21u, 22u}) {
    for (const bool dedup : {false, true}) {
      Sample sample;
      sample.options = {.block_bytes = 1u << log2, .codec = Codec::kLz4, .dedup = dedup};
      sample.add(RegionKind::kMemory, "ram", content);
      const CheckReport report = check_file(make_file(sample));
      if (first == Digest{}) first = report.digest;
      EXPECT_EQ(report.digest, first) << log2;
    }
  }
}

TEST(Writer, DigestOfTheLargestRegionsDependsOnContentOnly) {
  // Here the root has room for more pages than the digest's tree has.
  for (const unsigned size_log2 : {46u, 49u, 52u}) {
    Digest first;
    for (const unsigned log2 : {14u, 16u, 18u, 20u, 22u}) {
      Bytes file;
      auto sink = memory_sink(file);
      auto writer = Writer::create(*sink, {.block_bytes = 1u << log2});
      ASSERT_OK(writer);
      ASSERT_OK((*writer)->begin_region(memory("ram", std::uint64_t{1} << size_log2)));
      const Bytes page = make_content(Pattern::kRandom, kPage, 1);
      ASSERT_OK((*writer)->write(page));
      ASSERT_OK((*writer)->skip((std::uint64_t{1} << size_log2) - 3 * kPage));
      ASSERT_OK((*writer)->write(page));
      ASSERT_OK((*writer)->write(page));
      ASSERT_OK((*writer)->end_region());
      const auto digest = (*writer)->finish();
      ASSERT_OK(digest);
      if (first == Digest{}) first = *digest;
      EXPECT_EQ(*digest, first) << size_log2 << " " << log2;
      const CheckReport report = check_file(file);
      EXPECT_TRUE(report.clean()) << describe(report);
      EXPECT_EQ(report.digest, first);
      auto source = memory_source(file);
      auto reader = Reader::open(*source);
      ASSERT_OK(reader);
      Bytes end(3 * kPage);
      ASSERT_OK((*reader)->read(0, (std::uint64_t{1} << size_log2) - end.size(), end));
      EXPECT_TRUE(std::equal(page.begin(), page.end(), end.begin() + 2 * kPage));
      Collector none;
      class Ignore final : public StreamVisitor {
        Result<void> region_begin(std::size_t, const RegionInfo&) override { return {}; }
        Result<void> region_bytes(std::size_t, std::uint64_t, std::span<const std::byte>) override { return {}; }
        Result<void> region_end(std::size_t, std::uint64_t) override { return {}; }
      } ignore;
      const auto streamed = stream(file, ignore);
      ASSERT_OK(streamed);
      EXPECT_EQ(streamed->digest, first);
    }
  }
}

TEST(Writer, TellsHowFarItIs) {
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(writer);
  EXPECT_EQ((*writer)->written_bytes(), 0u);
  ASSERT_OK((*writer)->begin_region(memory("a")));
  ASSERT_OK((*writer)->skip(1000000));
  ASSERT_OK((*writer)->write(Bytes(7)));
  EXPECT_EQ((*writer)->taken_bytes(), 1000007u);
  ASSERT_OK((*writer)->end_region());
  ASSERT_OK((*writer)->finish());
  EXPECT_EQ((*writer)->written_bytes(), file.size());
}

// Each misuse, on a fresh writer with one region "open" of 10000 bytes open; then the writer answers the same for ever.
TEST(Writer, RefusesMisuseAndKeepsRefusing) {
  const std::pair<const char*, Feed> misuses[] = {
      {"too many bytes", [](Writer& w, auto) { return w.write(Bytes(10001)); }},
      {"too many zeros", [](Writer& w, auto) { return w.skip(10001); }},
      {"far too many zeros", [](Writer& w, auto) { return w.skip(~std::uint64_t{0}); }},
      {"too few bytes", [](Writer& w, auto) { return w.end_region(); }},
      {"a region in a region", [](Writer& w, auto) { return w.begin_region(memory("b")); }},
      {"metadata in a region", [](Writer& w, auto) { return w.set_metadata("a", "b"); }},
      {"out of order", [](Writer& w, auto) { return w.write_at(0, Bytes(1)); }},
      {"the end in a region", [](Writer& w, auto) -> Result<void> { return w.finish().error(); }},
  };
  for (const auto& [what, misuse] : misuses) {
    SCOPED_TRACE(what);
    for (const unsigned threads : {0u, 2u}) {
      Bytes file;
      auto sink = memory_sink(file);
      auto writer = Writer::create(*sink, {.threads = threads});
      ASSERT_OK(writer);
      ASSERT_OK((*writer)->begin_region(memory("open", 10000)));
      const auto first = misuse(**writer, {});
      ASSERT_FALSE(first.has_value());
      EXPECT_EQ(first.error().code, Code::kInvalidArgument) << explain(first.error());
      for (const auto& later : {(*writer)->write(Bytes(1)), (*writer)->skip(1), (*writer)->end_region(), Result<void>((*writer)->finish().error())}) {
        EXPECT_EQ(later.error().code, first.error().code);
        EXPECT_EQ(later.error().what, first.error().what);
      }
    }
  }
}

TEST(Writer, RefusesWhatTheFormatCannotKeep) {
  const auto refused = [](const RegionInfo& info) {
    Bytes file;
    auto sink = memory_sink(file);
    auto writer = Writer::create(*sink, {});
    const auto result = (*writer)->begin_region(info);
    return !result && result.error().code == Code::kInvalidArgument && file.empty();
  };
  EXPECT_TRUE(refused(memory("")));
  EXPECT_TRUE(refused(memory(std::string(1024, 'x'))));
  EXPECT_TRUE(refused(memory(std::string("a\0b", 3))));
  EXPECT_TRUE(refused(memory("\xC0\x80")));
  EXPECT_TRUE(refused(memory("\xED\xA0\x80")));
  EXPECT_TRUE(refused(memory("\xF4\x90\x80\x80")));
  EXPECT_TRUE(refused(memory("a\xC3")));
  EXPECT_TRUE(refused(memory("a", (std::uint64_t{1} << 52) + 1)));
  RegionInfo info = memory("a", 10000);
  info.placements = {{0, 0, 0}};
  EXPECT_TRUE(refused(info));
  info.placements = {{0, 9000, 1001}};
  EXPECT_TRUE(refused(info));
  info.placements = {{0, 0, 5000}, {90000, 4999, 100}};
  EXPECT_TRUE(refused(info));
  info.placements = {{~std::uint64_t{0} - 98, 0, 100}};
  EXPECT_TRUE(refused(info));
  info.placements.assign(65, {});
  for (std::size_t i = 0; i < 65; ++i) info.placements[i] = {i, i, 1};
  EXPECT_TRUE(refused(info));
  info = memory("a");
  info.guest_page_log2 = 31;
  EXPECT_TRUE(refused(info));
  info.guest_page_log2 = 11;
  EXPECT_TRUE(refused(info));
  info = {RegionKind::kState, "s", 10, 12, {{0, 0, 10}}};
  EXPECT_TRUE(refused(info));
  info = {static_cast<RegionKind>(3), "s", 10, 12, {}};
  EXPECT_TRUE(refused(info));
}

TEST(Writer, RefusesOptionsThatDoNotFit) {
  Bytes file;
  auto sink = memory_sink(file);
  for (const std::uint32_t bytes : {0u, 1u, 8192u, 65537u, 8u << 20, 1u << 31}) EXPECT_FALSE(Writer::create(*sink, {.block_bytes = bytes}));
  for (const auto& [codec, level] : {std::pair(Codec::kStore, 1), {Codec::kLz4, 0}, {Codec::kLz4, 13}, {Codec::kZstd, 0}, {Codec::kZstd, 23},
                                     {static_cast<Codec>(9), 1}}) {
    EXPECT_FALSE(Writer::create(*sink, {.codec = codec, .level = level}));
  }
}

TEST(Writer, KeepsMetadataWithinItsLimits) {
  Bytes file;
  auto sink = memory_sink(file);
  const auto set = [&](std::string_view key, std::string_view value) { return (*Writer::create(*sink, {}))->set_metadata(key, value).has_value(); };
  EXPECT_FALSE(set("", "x"));
  EXPECT_FALSE(set("A", "x"));
  EXPECT_FALSE(set("a b", "x"));
  EXPECT_FALSE(set(std::string(256, 'a'), "x"));
  EXPECT_TRUE(set(std::string(255, 'a'), "x"));
  EXPECT_TRUE(set("a", std::string(1u << 20, 'x')));
  EXPECT_FALSE(set("a", std::string((1u << 20) + 1, 'x')));
  EXPECT_FALSE(set("a", std::string_view("a\0b", 3)));
  EXPECT_FALSE(set("a", "\xFF"));
  auto writer = Writer::create(*sink, {});
  Result<void> last;
  int taken = 0;
  for (; taken < 10 && last; ++taken) last = (*writer)->set_metadata(std::string("k").append(std::to_string(taken)), std::string(1u << 20, 'x'));
  EXPECT_EQ(taken, 4);
  EXPECT_EQ(last.error().code, Code::kLimit);
}

TEST(Writer, LastValueOfAKeyCounts) {
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK((*writer)->set_metadata("a", "1"));
  ASSERT_OK((*writer)->set_metadata("a", "2"));
  ASSERT_OK(write_state(**writer, "s", {}));
  ASSERT_OK((*writer)->set_metadata("a", "3"));
  ASSERT_OK((*writer)->set_metadata("a", "2"));
  ASSERT_OK((*writer)->set_metadata("b", "4"));
  ASSERT_OK((*writer)->finish());
  Sample sample;
  sample.metadata = {{"a", "2"}, {"b", "4"}};
  sample.add(RegionKind::kState, "s", {});
  expect_holds(file, sample);
}

TEST(Writer, WritesASnapshotOfNothing) {
  const Sample sample;
  expect_holds(make_file(sample), sample);
}

TEST(Writer, RefusesTwoRegionsOfOneName) {
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(write_state(**writer, "s", {}));
  EXPECT_FALSE(write_state(**writer, "s", {}));
}

TEST(Writer, SourceMayGoOnceAnErrorWasAnswered) {
  // Workers still had reads of the source before them when the sink failed.
  const Bytes content = make_content(Pattern::kRandom, std::size_t{4} << 20, 1);
  for (int round = 0; round < 20; ++round) {
    Bytes file;
    auto inner = memory_sink(file);
    Fault fault;
    fault.arm(3, Fault::Kind::kFullDisk, true);
    FaultySink sink(*inner, fault);
    auto writer = Writer::create(sink, {.codec = Codec::kStore, .threads = 4});
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->begin_region(memory("ram", content.size())));
    Result<void> result;
    {
      auto copy = std::make_unique<Bytes>(content);
      auto source = memory_source(*copy);
      result = (*writer)->write_from(*source, 0, content.size());
      if (result) result = (*writer)->end_region();
    }
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().sys_errno, ENOSPC);
  }
}

TEST(Writer, SourceThatEndsEarlyIsAnError) {
  const Bytes content = make_content(Pattern::kRandom, 1000000, 1);
  for (const unsigned threads : {0u, 2u}) {
    Bytes file;
    auto sink = memory_sink(file);
    auto writer = Writer::create(*sink, {.threads = threads});
    auto source = memory_source(content);
    ASSERT_OK((*writer)->begin_region(memory("ram", 2000000)));
    auto result = (*writer)->write_from(*source, 0, 2000000);
    if (result) result = (*writer)->end_region();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, Code::kTruncated);
  }
}

TEST(Writer, TakesTheRestOfARegionOfAnySize) {
  for (const std::size_t size : {0u, 1u, 4096u, 524287u, 524288u, 524289u, 3u << 20}) {
    const Bytes content = make_content(Pattern::kMixed, size, 1);
    for (const unsigned threads : {0u, 3u}) {
      SCOPED_TRACE(std::to_string(size) + " bytes, threads " + std::to_string(threads));
      WriterOptions options;
      options.threads = threads;
      EXPECT_TRUE(write_with(options, content, stream_behind(0), true) == write_with(options, content, ended(whole), true));
    }
  }
}

TEST(Writer, RefusesAStreamThatDoesNotFitItsRegion) {
  const Bytes content = make_content(Pattern::kMixed, 3000000, 1);
  for (const unsigned threads : {0u, 2u}) {
    for (const std::size_t size : {content.size() - 1, content.size() + 1}) {
      Bytes file;
      auto sink = memory_sink(file);
      auto writer = Writer::create(*sink, {.threads = threads});
      ASSERT_OK((*writer)->begin_region(memory("ram", size)));
      Trickle trickle(content, 1);
      auto result = (*writer)->write_rest(trickle);
      EXPECT_EQ(result.has_value(), size > content.size());
      if (result) result = (*writer)->end_region();
      ASSERT_FALSE(result.has_value());
      EXPECT_EQ(result.error().code, Code::kInvalidArgument);
    }
  }
}

TEST(Writer, RefusesBytesBehindTheRest) {
  const Bytes content = make_content(Pattern::kMixed, 10000, 1);
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {.threads = 2});
  ASSERT_OK((*writer)->begin_region(memory("ram", kUnknownSize)));
  Trickle trickle(content, 1);
  ASSERT_OK((*writer)->write_rest(trickle));
  const auto result = (*writer)->skip(1);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Code::kInvalidArgument);
}

TEST(Writer, MayBeDroppedAtAnyTime) {
  const Bytes content = make_content(Pattern::kMixed, std::size_t{3} << 20, 1);
  for (const unsigned threads : {0u, 1u, 4u}) {
    for (int stage = 0; stage < 4; ++stage) {
      Bytes file;
      auto sink = memory_sink(file);
      auto writer = Writer::create(*sink, {.threads = threads});
      ASSERT_OK(writer);
      if (stage > 0) ASSERT_OK((*writer)->begin_region(memory("ram"), stage == 3 ? PageOrder::kAnyOrder : PageOrder::kAscending));
      if (stage == 2) ASSERT_OK((*writer)->write(content));
      if (stage == 3) ASSERT_OK((*writer)->write_at(12345, content));
    }
  }
}

}  // namespace
}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// Whole regions into memory, files and pipes: equal on any number of threads, with zeros left alone where they may be.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "support/damage.h"
#include "support/faulty.h"
#include "support/sample.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

Sample restore_sample(unsigned block_log2) {
  Sample sample;
  sample.options.block_bytes = 1u << block_log2;
  sample.options.codec = Codec::kLz4;
  sample.add(RegionKind::kMemory, "ram", make_content(Pattern::kMixed, (std::size_t{9} << 19) + 777, 1));
  sample.add(RegionKind::kMemory, "vga", make_content(Pattern::kRepeats, (std::size_t{3} << 19) + kPage, 2));
  // Copies that reach far back, over units, and into the other region.
  Bytes& ram = sample.regions[0].content;
  std::copy_n(ram.begin(), 40 * kPage, ram.begin() + (std::ptrdiff_t{4} << 20));
  std::copy_n(ram.begin() + 100 * kPage, 10 * kPage, sample.regions[1].content.begin() + 300 * kPage);
  sample.add(RegionKind::kState, "none", {});
  // The end again, so that the short last page is a copy.
  const Bytes& whole = sample.regions[0].content;
  sample.add(RegionKind::kMemory, "twin", Bytes(whole.end() - (std::ptrdiff_t{5} << 19) - 777, whole.end()));
  return sample;
}

class Restore : public testing::TestWithParam<std::tuple<unsigned, unsigned, bool>> {
 protected:
  Restore() : sample(restore_sample(std::get<0>(GetParam()))), file(make_file(sample)), source(memory_source(file)) {
    auto opened = Reader::open(*source);
    EXPECT_OK(opened);
    reader = std::move(*opened);
    options.threads = std::get<1>(GetParam());
    options.target_is_zero = std::get<2>(GetParam());
    options.progress = &progress;
  }
  std::byte before() const { return options.target_is_zero ? std::byte{0} : std::byte{0xEE}; }
  const Bytes& content(std::size_t region) const { return sample.regions[region].content; }

  Sample sample;
  Bytes file;
  std::unique_ptr<RandomSource> source;
  std::unique_ptr<Reader> reader;
  RestoreOptions options;
  std::atomic<std::uint64_t> progress{0};
};

INSTANTIATE_TEST_SUITE_P(All, Restore, testing::Combine(testing::Values(14u, 16u, 22u), testing::Values(0u, 2u, 7u), testing::Bool()));

TEST_P(Restore, FillsMemory) {
  for (std::size_t region = 0; region < 4; ++region) {
    Bytes memory(content(region).size(), before());
    progress = 0;
    ASSERT_OK(restore_to_memory(*reader, region, memory, options));
    EXPECT_TRUE(memory == content(region)) << region;
    EXPECT_GE(progress, memory.size());
  }
  Bytes other(content(0).size() - 1);
  EXPECT_FALSE(restore_to_memory(*reader, 0, other, options));
  EXPECT_FALSE(restore_to_memory(*reader, 4, other, options));
}

TEST_P(Restore, FillsAFile) {
  for (const std::uint64_t place : {std::uint64_t{0}, std::uint64_t{12288}, std::uint64_t{100}}) {
    for (std::size_t region = 0; region < 4; ++region) {
      const Bytes old(place + content(region).size() + (options.target_is_zero ? 0 : 5000), before());
      const TemporaryFile target(options.target_is_zero ? std::span<const std::byte>() : std::span<const std::byte>(old));
      ASSERT_OK(restore_to_file(*reader, region, target.fd(), place, options));
      const Bytes got = target.bytes();
      ASSERT_EQ(got.size(), old.size());
      EXPECT_TRUE(std::equal(content(region).begin(), content(region).end(), got.begin() + static_cast<std::ptrdiff_t>(place)));
      EXPECT_TRUE(std::all_of(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(place), [&](std::byte b) { return b == before(); }));
      EXPECT_TRUE(std::all_of(got.begin() + static_cast<std::ptrdiff_t>(place + content(region).size()), got.end(), [&](std::byte b) { return b == before(); }));
    }
  }
}

TEST_P(Restore, FillsAFileThatCannotBeRead) {
  const TemporaryDirectory directory;
  const std::string path = directory / "target";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  options.target_is_zero = true;
  ASSERT_OK(restore_to_file(*reader, 0, fd, 0, options));
  ::close(fd);
  const std::string got = read_text(path);
  ASSERT_EQ(got.size(), content(0).size());
  EXPECT_EQ(std::memcmp(got.data(), content(0).data(), got.size()), 0);
}

TEST_P(Restore, FillsASink) {
  for (std::size_t region = 0; region < 4; ++region) {
    Bytes out;
    auto sink = memory_sink(out);
    progress = 0;
    ASSERT_OK(restore_to_sink(*reader, region, *sink, options));
    EXPECT_TRUE(out == content(region));
    EXPECT_EQ(progress, out.size());
  }
}

TEST_P(Restore, StopsAtAFailingSink) {
  // The n-th write fails, until there are no more writes than that.
  for (std::uint64_t at = 0;; ++at) {
    Bytes out;
    auto inner = memory_sink(out);
    Fault fault;
    fault.arm(at, Fault::Kind::kFullDisk, true);
    FaultySink sink(*inner, fault);
    const auto result = restore_to_sink(*reader, 0, sink, options);
    if (result) {
      EXPECT_GT(at, 0u);
      EXPECT_TRUE(out == content(0));
      break;
    }
    EXPECT_EQ(result.error().sys_errno, ENOSPC);
  }
}

TEST_P(Restore, CanBeCancelled) {
  const std::atomic<bool> cancel{true};
  options.cancel = &cancel;
  Bytes out;
  auto sink = memory_sink(out);
  Bytes memory(content(0).size());
  const TemporaryFile target;
  EXPECT_EQ(restore_to_memory(*reader, 0, memory, options).error().code, Code::kCancelled);
  EXPECT_EQ(restore_to_file(*reader, 0, target.fd(), 0, options).error().code, Code::kCancelled);
  EXPECT_EQ(restore_to_sink(*reader, 0, *sink, options).error().code, Code::kCancelled);
}

TEST_P(Restore, NeverGivesDamagedBytes) {
  const auto records = records_of(file);
  Random random(1);
  for (int i = 0; i < 10; ++i) {
    const RecordPlace& place = records[random.below(records.size())];
    if (place.head.type != wire::kBlock) continue;
    Bytes bad = file;
    bad[place.offset + random.below(place.bytes)] ^= std::byte{0x40};
    auto bad_source = memory_source(bad);
    auto bad_reader = Reader::open(*bad_source);
    ASSERT_OK(bad_reader);
    Bytes memory(content(0).size(), before());
    Bytes out;
    auto sink = memory_sink(out);
    const TemporaryFile target;
    const bool first = place.head.region == 0;
    EXPECT_EQ(restore_to_memory(**bad_reader, 0, memory, options).has_value(), !first);
    EXPECT_EQ(restore_to_file(**bad_reader, 0, target.fd(), 0, options).has_value(), !first);
    EXPECT_EQ(restore_to_sink(**bad_reader, 0, *sink, options).has_value(), !first);
    EXPECT_TRUE(std::equal(out.begin(), out.end(), content(0).begin()));
  }
}

TEST(RestoreSparse, CopiesReachOverHolesLargerThanTheWindow) {
  // The copy window counts block records, of which a hole has none.
  const std::uint64_t size = std::uint64_t{24} << 30;
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(writer);
  const Bytes page = make_content(Pattern::kRandom, kPage, 1);
  ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", size, 12, {}}));
  ASSERT_OK((*writer)->write(page));
  ASSERT_OK((*writer)->skip(size - 2 * kPage));
  ASSERT_OK((*writer)->write(page));
  ASSERT_OK((*writer)->end_region());
  ASSERT_OK((*writer)->finish());
  EXPECT_LT(file.size(), 2 * kPage);
  auto source = memory_source(file);
  auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) GTEST_SKIP() << "no address space";
  const std::span memory(static_cast<std::byte*>(mapped), size);
  for (const unsigned threads : {0u, 2u}) {
    RestoreOptions options;
    options.threads = threads;
    ASSERT_OK(restore_to_memory(**reader, 0, memory, options));
    EXPECT_TRUE(std::equal(page.begin(), page.end(), memory.end() - kPage));
    EXPECT_TRUE(std::equal(page.begin(), page.end(), memory.begin()));
  }
  ::munmap(mapped, size);
  const TemporaryFile target;
  ASSERT_OK(restore_to_file(**reader, 0, target.fd(), 0, {.threads = 2}));
  struct stat status{};
  ASSERT_EQ(::fstat(target.fd(), &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), size);
  EXPECT_LE(status.st_blocks * 512, 64 * 1024);
  Bytes end(kPage);
  ASSERT_EQ(::pread(target.fd(), end.data(), kPage, static_cast<off_t>(size - kPage)), static_cast<ssize_t>(kPage));
  EXPECT_TRUE(end == page);
}

TEST(RestoreSparse, ZerosAreNotTouched) {
  Sample sample;
  Bytes ram(std::size_t{32} << 20);
  std::fill_n(ram.begin() + (20 << 20), 4096, std::byte{1});
  sample.add(RegionKind::kMemory, "ram", std::move(ram));
  const Bytes file = make_file(sample);
  auto source = memory_source(file);
  auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  const std::size_t size = std::size_t{32} << 20;
  void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  ::madvise(mapped, size, MADV_NOHUGEPAGE);
  ASSERT_OK(restore_to_memory(**reader, 0, {static_cast<std::byte*>(mapped), size}, {.threads = 2}));
  std::vector<unsigned char> resident(size / kPage);
  ASSERT_EQ(::mincore(mapped, size, resident.data()), 0);
  EXPECT_LE(std::count_if(resident.begin(), resident.end(), [](unsigned char c) { return (c & 1) != 0; }), 16);
  ::munmap(mapped, size);
}

TEST(Stream, ReadsFromAPipe) {
  const Sample sample = restore_sample(16);
  const Bytes file = make_file(sample);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread feeder([&] {
    auto sink = stream_sink(ends[1]);
    EXPECT_OK(sink->write(file));
    ::close(ends[1]);
  });
  auto source = stream_source(ends[0]);
  Collector collector;
  const auto result = read_stream(*source, collector);
  feeder.join();
  ::close(ends[0]);
  ASSERT_OK(result);
  for (std::size_t i = 0; i < sample.regions.size(); ++i) EXPECT_TRUE(collector.contents[i] == sample.regions[i].content);
}

TEST(Stream, PassesOnWhatTheVisitorSays) {
  const Bytes file = make_file(restore_sample(16));
  class Refusing final : public StreamVisitor {
   public:
    explicit Refusing(int call) : left_(call) {}
    Result<void> region_begin(std::size_t, const RegionInfo&) override { return next(); }
    Result<void> region_bytes(std::size_t, std::uint64_t, std::span<const std::byte>) override { return next(); }
    Result<void> region_end(std::size_t, std::uint64_t) override { return next(); }

   private:
    Result<void> next() {
      if (left_-- == 0) return Error{Code::kCancelled, 0, 0, 0, "enough", 42};
      return {};
    }
    int left_;
  };
  for (const int call : {0, 1, 2, 20}) {
    Refusing visitor(call);
    const auto result = stream(file, visitor);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().detail, 42u);
  }
}

}  // namespace
}  // namespace snap::test

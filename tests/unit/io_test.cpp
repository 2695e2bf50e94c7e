// SPDX-License-Identifier: Apache-2.0
#include "io/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <thread>

#include "support/sample.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

void put(int fd, std::string_view text) { ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size())); }

TEST(AtomicFile, GivesTheNameAtCommit) {
  const TemporaryDirectory directory;
  const std::string path = directory / "target";
  for (const char* text : {"one", "two"}) {
    const std::string old = read_text(path);
    auto file = AtomicFile::create(path.c_str());
    ASSERT_OK(file);
    put((*file)->fd(), text);
    EXPECT_EQ(read_text(path), old);
    ASSERT_OK((*file)->commit());
    EXPECT_EQ(read_text(path), text);
    EXPECT_FALSE((*file)->commit());
    EXPECT_EQ(read_text(path), text);
  }
  EXPECT_EQ(directory.entries(), 1u);
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST(AtomicFile, LeavesNothingWhenDropped) {
  const TemporaryDirectory directory;
  const std::string path = directory / "target";
  {
    auto file = AtomicFile::create(path.c_str());
    ASSERT_OK(file);
    put((*file)->fd(), "text");
  }
  EXPECT_EQ(directory.entries(), 0u);
}

TEST(AtomicFile, LeavesTheOldFileWhenItsProcessDies) {
  const TemporaryDirectory directory;
  const std::string path = directory / "target";
  std::ofstream(path) << "old";
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = AtomicFile::create(path.c_str());
    if (file && ::write((*file)->fd(), "new", 3) == 3) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_text(path), "old");
}

TEST(AtomicFile, TakesLongAndRelativeNames) {
  const TemporaryDirectory directory;
  const std::string path = (directory.path() / std::string(255, 'x')).string();
  auto file = AtomicFile::create(path.c_str());
  ASSERT_OK(file);
  ASSERT_OK((*file)->commit());
  EXPECT_EQ(directory.entries(), 1u);
  const int old = ::open(".", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::chdir(directory.path().c_str()), 0);
  auto relative = AtomicFile::create("relative");
  ASSERT_OK(relative);
  ASSERT_OK((*relative)->commit());
  ASSERT_EQ(::fchdir(old), 0);
  ::close(old);
  EXPECT_EQ(directory.entries(), 2u);
}

TEST(AtomicFile, AnswersWhatIsWrong) {
  const TemporaryDirectory directory;
  for (const std::string& name : {directory / "", directory / ".", directory / "..", std::string()}) {
    EXPECT_EQ(AtomicFile::create(name.c_str()).error().code, Code::kInvalidArgument) << name;
  }
  EXPECT_EQ(AtomicFile::create((directory / "none/target").c_str()).error().sys_errno, ENOENT);
  std::filesystem::create_directory(directory / "taken");
  auto file = AtomicFile::create((directory / "taken").c_str());
  ASSERT_OK(file);
  EXPECT_EQ((*file)->commit().error().code, Code::kIo);
  file->reset();
  EXPECT_EQ(directory.entries(), 1u);
  // The directory is gone before the file gets its name.
  std::filesystem::create_directory(directory / "going");
  auto orphan = AtomicFile::create((directory / "going/target").c_str());
  ASSERT_OK(orphan);
  std::filesystem::remove_all(directory / "going");
  EXPECT_EQ((*orphan)->commit().error().sys_errno, ENOENT);
}

class Sources : public testing::TestWithParam<int> {
 protected:
  Sources() : content(make_content(Pattern::kRandom, 300000, 1)), file(content) {
    source = GetParam() == 0 ? memory_source(content) : GetParam() == 1 ? file_source(file.fd()) : uring_source(file.fd());
  }
  Bytes content;
  TemporaryFile file;
  std::unique_ptr<RandomSource> source;
};
INSTANTIATE_TEST_SUITE_P(Kinds, Sources, testing::Values(0, 1, 2));

TEST_P(Sources, ReadAnyRangeAndStopAtTheEnd) {
  EXPECT_EQ(*source->size(), content.size());
  for (const auto& [offset, bytes, expected] : {std::tuple<std::uint64_t, std::size_t, std::size_t>{0, 10, 10}, {299990, 10, 10}, {299990, 20, 10},
                                                {300000, 5, 0}, {1u << 30, 5, 0}, {std::uint64_t{1} << 62, 5, 0}, {5, 0, 0}}) {
    Bytes out(bytes);
    const auto got = source->read_at(offset, out);
    ASSERT_OK(got);
    ASSERT_EQ(*got, expected);
    EXPECT_TRUE(expected == 0 || std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(expected), content.begin() + static_cast<std::ptrdiff_t>(offset)));
  }
}

TEST_P(Sources, ReadBatchesOfAnySize) {
  for (const std::size_t count : {0u, 1u, 2u, 63u, 64u, 65u, 200u}) {
    Random random(count);
    std::vector<Bytes> out(count);
    std::vector<ReadRequest> batch;
    for (Bytes& bytes : out) {
      bytes.resize(random.below(5000));
      batch.push_back({random.below(300500), bytes, 12345});
    }
    ASSERT_OK(source->read_batch(batch));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t there = batch[i].offset >= content.size() ? 0 : std::min<std::size_t>(out[i].size(), content.size() - batch[i].offset);
      ASSERT_EQ(batch[i].done, there);
      EXPECT_TRUE(there == 0 || std::equal(out[i].begin(), out[i].begin() + static_cast<std::ptrdiff_t>(there), content.begin() + static_cast<std::ptrdiff_t>(batch[i].offset)));
    }
  }
}

TEST_P(Sources, MayBeReadByManyThreads) {
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 8; ++number) {
    threads.emplace_back([&, number] {
      Random random(number);
      for (int i = 0; i < 50; ++i) {
        std::vector<Bytes> out(10, Bytes(3000));
        std::vector<ReadRequest> batch;
        for (Bytes& bytes : out) batch.push_back({random.below(290000), bytes, 0});
        EXPECT_OK(source->read_batch(batch));
        for (const ReadRequest& request : batch) {
          EXPECT_TRUE(std::equal(request.out.begin(), request.out.end(), content.begin() + static_cast<std::ptrdiff_t>(request.offset)));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(Sources, AreReadAsStreams) {
  auto stream = range_stream(*source, 1000, 250000);
  Bytes out(260000);
  const auto got = read_full(*stream, out);
  ASSERT_OK(got);
  ASSERT_EQ(*got, 250000u);
  EXPECT_TRUE(std::equal(out.begin(), out.begin() + 250000, content.begin() + 1000));
  EXPECT_EQ(*stream->read(out), 0u);
}

TEST(FileSource, TellsWhereDataIs) {
  const TemporaryFile file;
  ASSERT_EQ(::ftruncate(file.fd(), 10 << 20), 0);
  auto source = file_source(file.fd());
  const auto hole = source->next_data(0);
  ASSERT_OK(hole);
  if (*hole == 0) GTEST_SKIP() << "a file system without holes";
  EXPECT_EQ(*hole, 10u << 20);
  ASSERT_EQ(::pwrite(file.fd(), "x", 1, 5 << 20), 1);
  const auto data = source->next_data(4096);
  ASSERT_OK(data);
  EXPECT_LE(*data, 5u << 20);
  EXPECT_GT(*data, 4u << 20);
  EXPECT_EQ(*source->next_data(5 << 20), 5u << 20);
}

TEST(Streams, PassThroughAPipe) {
  const Bytes content = make_content(Pattern::kRandom, 3000000, 1);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread feeder([&] {
    auto sink = stream_sink(ends[1]);
    for (std::size_t at = 0; at < content.size(); at += 77777) EXPECT_OK(sink->write(std::span(content).subspan(at, std::min<std::size_t>(77777, content.size() - at))));
    ::close(ends[1]);
  });
  auto source = stream_source(ends[0]);
  Bytes out(content.size() + 1);
  const auto got = read_full(*source, out);
  feeder.join();
  ::close(ends[0]);
  ASSERT_OK(got);
  ASSERT_EQ(*got, content.size());
  out.pop_back();
  EXPECT_TRUE(out == content);
}

}  // namespace
}  // namespace snap::test

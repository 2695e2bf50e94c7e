// SPDX-License-Identifier: Apache-2.0
// Every operation of sources and sinks fails once, and from there on: the error comes out, or the result is right.
#include <gtest/gtest.h>

#include <dirent.h>
#include <fcntl.h>

#include <functional>

#include "support/child_sample.h"
#include "support/damage.h"
#include "support/faulty.h"
#include "support/sample.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* const directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

using Operation = std::function<Result<void>(Fault&)>;

// `shorts_pass`: a short operation is legal and changes nothing.
void expect_survives(const Operation& operation, bool shorts_pass = false) {
  const std::size_t descriptors = open_descriptors();
  for (const auto kind : {Fault::Kind::kError, Fault::Kind::kFullDisk, Fault::Kind::kShort}) {
    for (const bool sticky : {false, true}) {
      for (std::uint64_t n = 0;; n += 1 + n / 50) {
        ASSERT_LT(n, 100000u);
        Fault fault;
        fault.arm(n, kind, sticky);
        const auto result = operation(fault);
        SCOPED_TRACE("operation " + std::to_string(n) + " kind " + std::to_string(static_cast<int>(kind)) + (sticky ? " sticky" : ""));
        if (!fault.hit()) {
          ASSERT_OK(result);
          break;
        }
        if (result) {
          EXPECT_TRUE(kind == Fault::Kind::kShort && shorts_pass) << "it was not noticed";
        } else if (kind != Fault::Kind::kShort) {
          EXPECT_EQ(result.error().code, Code::kIo) << explain(result.error());
          EXPECT_EQ(result.error().sys_errno, fault.error().sys_errno) << explain(result.error());
        }
        if (testing::Test::HasFailure()) return;
      }
    }
  }
  EXPECT_EQ(open_descriptors(), descriptors);
}

class IoFaults : public testing::TestWithParam<unsigned> {
 protected:
  IoFaults() : sample(small_sample(Codec::kLz4, SmallKind::kHoles)), threads(GetParam()) {
    sample.metadata = {{"a", "b"}};
    Bytes more(std::size_t{300} << 14);  // two levels of index, few blocks
    for (const std::size_t block : {0u, 1u, 2u, 100u, 255u, 256u, 299u}) {
      const Bytes some = make_content(Pattern::kMixed, std::size_t{1} << 14, block);
      std::copy(some.begin(), some.end(), more.begin() + static_cast<std::ptrdiff_t>(block << 14));
    }
    sample.add(RegionKind::kMemory, "more", std::move(more));
    file = make_file(sample);
    source = memory_source(file);
  }
  Sample sample;
  Bytes file;
  std::unique_ptr<RandomSource> source;
  unsigned threads;
};

INSTANTIATE_TEST_SUITE_P(Threads, IoFaults, testing::Values(0u, 1u, 3u));

TEST_P(IoFaults, OfTheSinkWhileWriting) {
  sample.options.threads = threads;
  expect_survives([&](Fault& fault) -> Result<void> {
    Bytes made;
    auto inner = memory_sink(made);
    FaultySink sink(*inner, fault);
    auto writer = Writer::create(sink, sample.options);
    if (!writer) return writer.error();
    if (auto digest = write_sample(**writer, sample); !digest) return digest.error();
    if (made != file) return Error{Code::kCorrupt, 0, 0, 0, "another file", 0};
    return {};
  });
}

TEST_P(IoFaults, OfTheSourceWhileWriting) {
  sample.options.threads = threads;
  const Bytes content = make_content(Pattern::kMixed, (std::size_t{1} << 20) + 5000, 2);
  auto inner = memory_source(content);
  expect_survives([&](Fault& fault) -> Result<void> {
    Bytes made;
    auto sink = memory_sink(made);
    auto writer = Writer::create(*sink, sample.options);
    if (!writer) return writer.error();
    FaultySource faulty(*inner, fault);
    if (auto result = (*writer)->begin_region({RegionKind::kMemory, "r", content.size(), 12, {}}); !result) return result;
    if (auto result = (*writer)->write_from(faulty, 0, 100); !result) return result;
    if (auto result = (*writer)->write_from(faulty, 100, content.size() - 100); !result) return result;
    if (auto result = (*writer)->end_region(); !result) return result;
    if (auto digest = (*writer)->finish(); !digest) return digest.error();
    return {};
  });
}

TEST_P(IoFaults, OfTheSourceWhileReading) {
  expect_survives([&](Fault& fault) -> Result<void> {
    FaultySource faulty(*source, fault);
    auto reader = Reader::open(faulty, {threads == 0 ? 0 : std::size_t{1} << 20});
    if (!reader) return reader.error();
    for (std::size_t region = 0; region < sample.regions.size(); ++region) {
      Bytes content(sample.regions[region].content.size());
      const std::size_t half = content.size() / 2 / kPage * kPage;
      if (auto result = (*reader)->read(region, 0, std::span(content).first(half)); !result) return result;
      const RegionRead rest{region, half, std::span(content).subspan(half)};
      if (auto result = (*reader)->read_batch({&rest, 1}); !result) return result;
      if (content != sample.regions[region].content) return Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0};
    }
    return {};
  });
}

TEST_P(IoFaults, OfTheSourceWhileChecking) {
  expect_survives([&](Fault& fault) -> Result<void> {
    FaultySource faulty(*source, fault);
    CheckOptions options;
    options.threads = threads;
    const auto report = check(faulty, options);
    if (!report) return report.error();
    if (!report->clean()) return Error{Code::kTruncated, 0, 0, 0, "the report says that the file is short", 0};
    return {};
  }, true);  // what was short is read again where it is needed
}

TEST_P(IoFaults, OfBothWhileRepairing) {
  Bytes bad = file;
  bad[file.size() - 100] ^= std::byte{1};
  auto inner_source = memory_source(bad);
  expect_survives([&](Fault& fault) -> Result<void> {
    FaultySource faulty(*inner_source, fault);
    Bytes out;
    auto inner = memory_sink(out);
    FaultySink sink(*inner, fault);
    CheckOptions options;
    options.threads = threads;
    if (auto result = repair(faulty, sink, options); !result) return result;
    if (out != file) return Error{Code::kCorrupt, 0, 0, 0, "another file", 0};
    return {};
  }, true);
}

TEST_P(IoFaults, OfTheSourceWhileRestoring) {
  RestoreOptions options;
  options.threads = threads;
  expect_survives([&](Fault& fault) -> Result<void> {
    FaultySource faulty(*source, fault);
    auto reader = Reader::open(faulty);
    if (!reader) return reader.error();
    const Bytes& content = sample.regions[2].content;
    Bytes memory(content.size());
    if (auto result = restore_to_memory(**reader, 2, memory, options); !result) return result;
    Bytes out;
    auto sink = memory_sink(out);
    if (auto result = restore_to_sink(**reader, 2, *sink, options); !result) return result;
    const TemporaryFile target;
    if (auto result = restore_to_file(**reader, 2, target.fd(), 0, options); !result) return result;
    if (memory != content || out != content || target.bytes() != content) return Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0};
    return {};
  });
}

TEST_P(IoFaults, OfTheStreamWhileReadingItThrough) {
  if (threads != 0) return;  // nothing here has threads
  expect_survives(
      [&](Fault& fault) -> Result<void> {
        auto inner = range_stream(*source, 0, file.size());
        FaultyStream faulty(*inner, fault);
        Collector collector;
        const auto result = read_stream(faulty, collector);
        if (!result) return result.error();
        for (std::size_t i = 0; i < sample.regions.size(); ++i) {
          if (collector.contents[i] != sample.regions[i].content) return Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0};
        }
        return {};
      },
      true);
}

/// A child, the faulty sources of it and of its parent, and all that is done with them.
class ChildIoFaults : public testing::TestWithParam<unsigned> {
 protected:
  ChildIoFaults() : family(SmallChild::kNamed), threads(GetParam()) {
    source = memory_source(family.file);
    restore_options.threads = threads;
    check_options.threads = threads;
  }

  /// Both open over faulty sources; keeps no blocks, so that each use reads.
  struct Opened {
    Opened(RandomSource& parent_source, RandomSource& child_source, Fault& fault) : parent_faulty(parent_source, fault), child_faulty(child_source, fault) {}
    Result<void> open() {
      auto first = Reader::open(parent_faulty, {.cache_bytes = 0});
      if (!first) return first.error();
      parent = std::move(*first);
      auto second = Reader::open(child_faulty, {.cache_bytes = 0, .parent = parent.get()});
      if (!second) return second.error();
      child = std::move(*second);
      return {};
    }
    FaultySource parent_faulty;
    FaultySource child_faulty;
    std::unique_ptr<Reader> parent;
    std::unique_ptr<Reader> child;
  };

  static Result<void> same(bool holds) { return holds ? Result<void>() : Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0}; }
  const Bytes& content() const { return family.child.regions[0].content; }

  SmallFamily family;
  std::unique_ptr<RandomSource> source;
  unsigned threads;
  RestoreOptions restore_options;
  CheckOptions check_options;
};

INSTANTIATE_TEST_SUITE_P(Threads, ChildIoFaults, testing::Values(0u, 2u));

TEST_P(ChildIoFaults, OfTheParentAndTheSinkWhileWriting) {
  expect_survives([&](Fault& fault) -> Result<void> {
    FaultySource faulty(*family.parent_source, fault);
    auto parent = Reader::open(faulty, {.cache_bytes = 0});
    if (!parent) return parent.error();
    auto pages = ParentPages::index(**parent, {.threads = threads});
    if (!pages) return pages.error();
    Sample sample = family.child;
    sample.options.threads = threads;
    sample.options.parent = parent->get();
    sample.options.parent_pages = pages->get();
    Bytes made;
    auto inner = memory_sink(made);
    FaultySink sink(*inner, fault);
    auto writer = Writer::create(sink, sample.options);
    if (!writer) return writer.error();
    if (auto digest = write_sample(**writer, sample); !digest) return digest.error();
    return same(made == family.file);
  });
}

TEST_P(ChildIoFaults, OfBothWhileReading) {
  expect_survives([&](Fault& fault) -> Result<void> {
    Opened opened(*family.parent_source, *source, fault);
    if (auto result = opened.open(); !result) return result;
    Bytes out(content().size());
    if (auto result = opened.child->read(0, 0, out); !result) return result;
    Bytes again(content().size());
    const RegionRead reads[] = {{0, 0, std::span(again).first(9 * kPage)}, {0, 9 * kPage, std::span(again).subspan(9 * kPage)}};
    if (auto result = opened.child->read_batch(reads); !result) return result;
    if (auto digest = opened.child->range_digest(0, 2, 1); !digest) return digest.error();
    if (auto extent = opened.child->extent(0, 0); !extent) return extent.error();
    return same(out == content() && again == content());
  });
}

TEST_P(ChildIoFaults, OfBothWhileRestoring) {
  expect_survives([&](Fault& fault) -> Result<void> {
    Opened opened(*family.parent_source, *source, fault);
    if (auto result = opened.open(); !result) return result;
    Bytes memory(content().size());
    if (auto result = restore_to_memory(*opened.child, 0, memory, restore_options); !result) return result;
    Bytes out;
    auto sink = memory_sink(out);
    if (auto result = restore_to_sink(*opened.child, 0, *sink, restore_options); !result) return result;
    const TemporaryFile target;
    if (auto result = restore_to_file(*opened.child, 0, target.fd(), 0, restore_options); !result) return result;
    return same(memory == content() && out == content() && target.bytes() == content());
  });
}

TEST_P(ChildIoFaults, OfBothWhileHoldingAndApplying) {
  expect_survives([&](Fault& fault) -> Result<void> {
    Opened opened(*family.parent_source, *source, fault);
    if (auto result = opened.open(); !result) return result;
    auto held = hold_in_memory(*opened.child, restore_options);
    if (!held) return held.error();
    Bytes memory = family.parent_sample.regions[0].content;
    if (auto result = apply_changes(*opened.child, 0, memory, restore_options); !result) return result;
    std::uint64_t changed = 0;
    const auto count = [&](const ChangedRange& range) -> Result<void> {
      changed += range.length;
      return {};
    };
    if (auto result = visit_changes(*opened.child, 0, count); !result) return result;
    const auto bytes = (*held)->held(0);
    return same(memory == content() && std::equal(bytes.begin(), bytes.end(), content().begin(), content().end()) && changed == 5 * kPage);
  }, true);  // maps are read ahead
}

TEST_P(ChildIoFaults, OfBothWhileCheckingAndRepairing) {
  Bytes bad = family.file;
  bad[bad.size() - 100] ^= std::byte{1};
  auto bad_source = memory_source(bad);
  expect_survives([&](Fault& fault) -> Result<void> {
    Opened opened(*family.parent_source, *source, fault);
    if (auto result = opened.open(); !result) return result;
    CheckOptions options = check_options;
    options.parent = opened.parent.get();
    const auto report = check(opened.child_faulty, options);
    if (!report) return report.error();
    if (!report->clean()) return Error{Code::kTruncated, 0, 0, 0, "the report says that a file is short", 0};
    FaultySource faulty(*bad_source, fault);
    Bytes out;
    auto sink = memory_sink(out);
    if (auto result = repair(faulty, *sink, options); !result) return result;
    return same(out == family.file);
  }, true);
}

TEST_P(ChildIoFaults, OfBothWhileReadingItThrough) {
  if (threads != 0) return;  // nothing here has threads
  expect_survives([&](Fault& fault) -> Result<void> {
    FaultySource faulty(*family.parent_source, fault);
    auto parent = Reader::open(faulty, {.cache_bytes = 0});
    if (!parent) return parent.error();
    auto inner = range_stream(*source, 0, family.file.size());
    FaultyStream stream(*inner, fault);
    Collector collector;
    const auto result = read_stream(stream, collector, [&](const ParentRef&) -> Result<Reader*> { return parent->get(); });
    if (!result) return result.error();
    return same(collector.contents[0] == content());
  }, true);
}

TEST(IoFaultsOfFiles, AFullFileIsAnError) {
  const int full = ::open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  auto sink = stream_sink(full);
  const Sample sample = small_sample(Codec::kStore, SmallKind::kTiny);
  auto writer = Writer::create(*sink, sample.options);
  ASSERT_OK(writer);
  const auto result = write_sample(**writer, sample);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().sys_errno, ENOSPC);
  const Bytes file = make_file(sample);
  auto source = memory_source(file);
  auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  EXPECT_EQ(restore_to_file(**reader, 0, full, 0, {}).error().code, Code::kIo);
  ::close(full);
  EXPECT_EQ(restore_to_file(**reader, 0, -1, 0, {}).error().sys_errno, EBADF);
  EXPECT_EQ(file_source(-1)->size().error().sys_errno, EBADF);
  Bytes out(10);
  EXPECT_EQ(file_source(-1)->read_at(0, out).error().sys_errno, EBADF);
  EXPECT_EQ(stream_source(-1)->read(out).error().sys_errno, EBADF);
  ReadRequest requests[2] = {{0, out, 0}, {5, out, 0}};
  EXPECT_EQ(uring_source(-1)->read_batch(requests).error().sys_errno, EBADF);
}

}  // namespace
}  // namespace snap::test

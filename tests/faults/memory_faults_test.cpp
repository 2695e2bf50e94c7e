// SPDX-License-Identifier: Apache-2.0
// Every allocation of every operation fails once, and from there on: the answer is "out of memory" or right; nothing hangs.
#include <gtest/gtest.h>

#include <functional>
#include <new>

#include "faults/counting_new.h"
#include "support/child_sample.h"
#include "support/sample.h"

namespace snap::test {
namespace {

Sample fault_sample() {
  Sample sample = small_sample(Codec::kZstd, SmallKind::kHoles);
  sample.metadata = {{"vm.name", "a name that does not fit into a short string"}};
  Bytes ram = make_content(Pattern::kMixed, std::size_t{40} << 14, 1);
  sample.add(RegionKind::kMemory, "a region with a name too long for a short string", std::move(ram));
  return sample;
}

using Operation = std::function<Result<void>()>;

// Runs `operation` with the n-th allocation failing, for all n until none fails. It answers an error, throws, or is right.
void expect_survives(const Operation& operation) {
  for (const bool sticky : {false, true}) {
    for (std::uint64_t n = 0;; n += 1 + n / 64) {  // the later ones repeat the earlier ones
      ASSERT_LT(n, 100000u);
      Result<void> result;
      bool thrown = false;
      fail_allocation(n, sticky);
      try {
        result = operation();
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      allocate_again();
      const bool hit = allocation_failed();
      SCOPED_TRACE("allocation " + std::to_string(n) + (sticky ? " and all after" : ""));
      if (!hit) {
        ASSERT_FALSE(thrown);
        ASSERT_OK(result);
        break;
      }
      EXPECT_TRUE(thrown || result || result.error().code == Code::kNoMemory) << explain(result.error());
    }
  }
}

class MemoryFaults : public testing::TestWithParam<unsigned> {
 protected:
  MemoryFaults() : sample(fault_sample()), file(make_file(sample)), threads(GetParam()) {}
  Sample sample;
  Bytes file;
  unsigned threads;
};

INSTANTIATE_TEST_SUITE_P(Threads, MemoryFaults, testing::Values(0u, 1u, 3u));

TEST_P(MemoryFaults, Create) {
  sample.options.threads = threads;
  expect_survives([&]() -> Result<void> {
    const auto made = try_make_file(sample);
    if (!made) return made.error();
    if (*made != file) return Error{Code::kCorrupt, 0, 0, 0, "another file", 0};
    return {};
  });
}

// The caller goes on as if nothing had been: the writer answers the first error, or there was none.
TEST_P(MemoryFaults, CreateByACallerWhoDoesNotListen) {
  sample.options.threads = threads;
  expect_survives([&]() -> Result<void> {
    Bytes made;
    made.reserve(file.size());
    auto sink = memory_sink(made);
    auto writer = Writer::create(*sink, sample.options);
    if (!writer) return writer.error();
    for (const auto& [key, value] : sample.metadata) static_cast<void>((*writer)->set_metadata(key, value));
    for (const SampleRegion& region : sample.regions) {
      RegionInfo info = region.info;
      if (region.size_unknown) info.size = kUnknownSize;
      static_cast<void>((*writer)->begin_region(info));
      static_cast<void>((*writer)->write(region.content));
      static_cast<void>((*writer)->end_region());
    }
    const auto digest = (*writer)->finish();
    if (!digest) return digest.error();
    if (made != file) return Error{Code::kCorrupt, 0, 0, 0, "another file", 0};
    return {};
  });
}

TEST_P(MemoryFaults, WriteFromAStream) {
  sample.options.threads = threads;
  expect_survives([&]() -> Result<void> {
    Bytes made;
    auto sink = memory_sink(made);
    auto writer = Writer::create(*sink, sample.options);
    if (!writer) return writer.error();
    const Bytes& content = sample.regions[2].content;
    RegionInfo info = sample.regions[2].info;
    info.size = kUnknownSize;
    auto source = memory_source(content);
    auto stream = range_stream(*source, 0, content.size());
    if (auto result = (*writer)->begin_region(info); !result) return result;
    if (auto result = (*writer)->write_rest(*stream); !result) return result;
    if (auto result = (*writer)->end_region(); !result) return result;
    const auto digest = (*writer)->finish();
    return digest ? Result<void>() : digest.error();
  });
}

TEST_P(MemoryFaults, Read) {
  if (threads != 0) return;  // nothing here has threads
  Bytes content(sample.regions[2].content.size());
  expect_survives([&]() -> Result<void> {
    auto source = memory_source(file);
    auto reader = Reader::open(*source);
    if (!reader) return reader.error();
    for (std::size_t at = 0; at < content.size(); at += 3 * kPage) {
      const auto out = std::span(content).subspan(at, std::min(3 * kPage, content.size() - at));
      const RegionRead read{2, at, out};
      if (auto result = at % 2 == 0 ? (*reader)->read(2, at, out) : (*reader)->read_batch({&read, 1}); !result) return result;
    }
    if (content != sample.regions[2].content) return Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0};
    return {};
  });
}

TEST_P(MemoryFaults, ReaderGoesOnAfterwards) {
  auto source = memory_source(file);
  Bytes content(sample.regions[2].content.size());
  for (std::uint64_t n = 0; n < 60; ++n) {
    auto reader = Reader::open(*source);
    ASSERT_OK(reader);
    fail_allocation(n, false);
    try {
      static_cast<void>((*reader)->read(2, 5, std::span(content).subspan(5)));
    } catch (const std::bad_alloc&) {
    }
    allocate_again();
    ASSERT_OK((*reader)->read(2, 0, content));
    EXPECT_TRUE(content == sample.regions[2].content);
  }
}

TEST_P(MemoryFaults, Check) {
  expect_survives([&]() -> Result<void> {
    auto source = memory_source(file);
    CheckOptions options;
    options.threads = threads;
    const auto report = check(*source, options);
    if (!report) return report.error();
    if (!report->clean()) return Error{Code::kCorrupt, 0, 0, 0, "damage that is not there", 0};
    return {};
  });
}

TEST_P(MemoryFaults, Repair) {
  Bytes bad = file;
  bad[file.size() - 10] ^= std::byte{1};
  expect_survives([&]() -> Result<void> {
    auto source = memory_source(bad);
    Bytes out;
    auto sink = memory_sink(out);
    CheckOptions options;
    options.threads = threads;
    if (auto result = repair(*source, *sink, options); !result) return result;
    if (out != file) return Error{Code::kCorrupt, 0, 0, 0, "another file", 0};
    return {};
  });
}

TEST_P(MemoryFaults, Restore) {
  RestoreOptions options;
  options.threads = threads;
  Bytes memory(sample.regions[2].content.size());
  expect_survives([&]() -> Result<void> {
    auto source = memory_source(file);
    auto reader = Reader::open(*source);
    if (!reader) return reader.error();
    std::fill(memory.begin(), memory.end(), std::byte{0});
    if (auto result = restore_to_memory(**reader, 2, memory, options); !result) return result;
    if (memory != sample.regions[2].content) return Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0};
    Bytes out;
    auto sink = memory_sink(out);
    if (auto result = restore_to_sink(**reader, 2, *sink, options); !result) return result;
    if (out != sample.regions[2].content) return Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0};
    return {};
  });
}

TEST_P(MemoryFaults, Stream) {
  if (threads != 0) return;  // nothing here has threads
  expect_survives([&]() -> Result<void> {
    Collector collector;
    const auto result = stream(file, collector);
    if (!result) return result.error();
    if (collector.contents[2] != sample.regions[2].content) return Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0};
    return {};
  });
}

/// A child in every way that children are used.
class ChildMemoryFaults : public testing::TestWithParam<unsigned> {
 protected:
  ChildMemoryFaults() : family(SmallChild::kNamed), threads(GetParam()) {
    source = memory_source(family.file);
    restore_options.threads = threads;
  }
  static Result<void> same(bool holds) { return holds ? Result<void>() : Error{Code::kCorrupt, 0, 0, 0, "other bytes", 0}; }
  const Bytes& content() const { return family.child.regions[0].content; }
  SmallFamily family;
  std::unique_ptr<RandomSource> source;
  unsigned threads;
  RestoreOptions restore_options;
};

INSTANTIATE_TEST_SUITE_P(Threads, ChildMemoryFaults, testing::Values(0u, 2u));

TEST_P(ChildMemoryFaults, Create) {
  expect_survives([&]() -> Result<void> {
    auto pages = ParentPages::index(*family.parent, {.threads = threads});
    if (!pages) return pages.error();
    Sample sample = family.child;
    sample.options.threads = threads;
    sample.options.parent_pages = pages->get();
    const auto made = try_make_file(sample);
    if (!made) return made.error();
    return same(*made == family.file);
  });
}

TEST_P(ChildMemoryFaults, Read) {
  if (threads != 0) return;  // nothing here has threads
  expect_survives([&]() -> Result<void> {
    auto reader = Reader::open(*source, {.parent = family.parent.get()});
    if (!reader) return reader.error();
    Bytes out(content().size());
    for (std::size_t at = 0; at < out.size(); at += 3 * kPage) {
      const auto piece = std::span(out).subspan(at, std::min(3 * kPage, out.size() - at));
      const RegionRead read{0, at, piece};
      if (auto result = at % 2 == 0 ? (*reader)->read(0, at, piece) : (*reader)->read_batch({&read, 1}); !result) return result;
    }
    if (auto digest = (*reader)->range_digest(0, 2, 1); !digest) return digest.error();
    if (auto extent = (*reader)->extent(0, 0); !extent) return extent.error();
    return same(out == content());
  });
}

TEST_P(ChildMemoryFaults, ReaderGoesOnAfterwards) {
  Bytes out(content().size());
  for (std::uint64_t n = 0; n < 60; ++n) {
    auto reader = Reader::open(*source, {.parent = family.parent.get()});
    ASSERT_OK(reader);
    fail_allocation(n, false);
    try {
      static_cast<void>((*reader)->read(0, 5, std::span(out).subspan(5)));
    } catch (const std::bad_alloc&) {
    }
    allocate_again();
    ASSERT_OK((*reader)->read(0, 0, out));
    EXPECT_TRUE(out == content());
  }
}

TEST_P(ChildMemoryFaults, RestoreHoldAndApply) {
  expect_survives([&]() -> Result<void> {
    auto reader = Reader::open(*source, {.parent = family.parent.get()});
    if (!reader) return reader.error();
    Bytes memory(content().size());
    if (auto result = restore_to_memory(**reader, 0, memory, restore_options); !result) return result;
    auto held = hold_in_memory(**reader, restore_options);
    if (!held) return held.error();
    Bytes applied = family.parent_sample.regions[0].content;
    if (auto result = apply_changes(**reader, 0, applied, restore_options); !result) return result;
    std::uint64_t changed = 0;
    const auto count = [&](const ChangedRange& range) -> Result<void> {
      changed += range.length;
      return {};
    };
    if (auto result = visit_changes(**reader, 0, count); !result) return result;
    const auto bytes = (*held)->held(0);
    return same(memory == content() && applied == content() && std::equal(bytes.begin(), bytes.end(), content().begin(), content().end()));
  });
}

TEST_P(ChildMemoryFaults, CheckAndRepair) {
  Bytes bad = family.file;
  bad[bad.size() - 10] ^= std::byte{1};
  expect_survives([&]() -> Result<void> {
    const CheckOptions options{.parent = family.parent.get(), .threads = threads};
    const auto report = check(*source, options);
    if (!report) return report.error();
    if (!report->clean()) return Error{Code::kCorrupt, 0, 0, 0, "damage that is not there", 0};
    auto bad_source = memory_source(bad);
    Bytes out;
    auto sink = memory_sink(out);
    if (auto result = repair(*bad_source, *sink, options); !result) return result;
    return same(out == family.file);
  });
}

TEST_P(ChildMemoryFaults, Stream) {
  if (threads != 0) return;  // nothing here has threads
  expect_survives([&]() -> Result<void> {
    Collector collector;
    const auto result = stream(family.file, collector, family.parent.get());
    if (!result) return result.error();
    return same(collector.contents[0] == content());
  });
}

}  // namespace
}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// Snapshots for tests: made from a plain description, and read back in every way there is.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "snap/check.h"
#include "snap/io.h"
#include "snap/reader.h"
#include "snap/restore.h"
#include "snap/writer.h"
#include "support/content.h"

namespace snap::test {

struct SampleRegion {
  RegionInfo info;
  Bytes content;
  bool size_unknown = false;
};

struct Sample {
  WriterOptions options;
  std::vector<SampleRegion> regions;
  Metadata metadata;

  void add(RegionKind kind, std::string name, Bytes content) {
    SampleRegion region{{kind, std::move(name), content.size(), 12, {}}, std::move(content), false};
    if (kind == RegionKind::kMemory && !region.content.empty()) region.info.placements = {{0, 0, region.content.size()}};
    regions.push_back(std::move(region));
  }
};

inline std::string explain(const Error& error) {
  return std::string(code_name(error.code)) + " at " + std::to_string(error.file_offset) + ": " + error.what + " (" +
         std::to_string(error.detail) + ", errno " + std::to_string(error.sys_errno) + ")";
}

#define ASSERT_OK(expression)                                                   \
  do {                                                                          \
    const auto& assert_ok_result = (expression);                                \
    ASSERT_TRUE(assert_ok_result.has_value()) << ::snap::test::explain(assert_ok_result.error()); \
  } while (false)
#define EXPECT_OK(expression)                                                   \
  do {                                                                          \
    const auto& expect_ok_result = (expression);                                \
    EXPECT_TRUE(expect_ok_result.has_value()) << ::snap::test::explain(expect_ok_result.error()); \
  } while (false)

inline Result<Digest> write_sample(Writer& writer, const Sample& sample) {
  const auto step = [](Result<void> result, Error& error) {
    if (!result && error.code == Code::kOk) error = result.error();
  };
  Error error;
  for (const auto& [key, value] : sample.metadata) step(writer.set_metadata(key, value), error);
  for (const SampleRegion& region : sample.regions) {
    RegionInfo info = region.info;
    if (region.size_unknown) info.size = kUnknownSize;
    step(writer.begin_region(info), error);
    step(writer.write(region.content), error);
    step(writer.end_region(), error);
  }
  if (error.code != Code::kOk) return error;
  return writer.finish();
}

inline Result<Bytes> try_make_file(const Sample& sample) {
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, sample.options);
  if (!writer) return writer.error();
  if (const auto done = write_sample(**writer, sample); !done) return done.error();
  return file;
}

inline Bytes make_file(const Sample& sample) {
  auto file = try_make_file(sample);
  if (!file) {
    ADD_FAILURE() << explain(file.error());
    return {};
  }
  return std::move(*file);
}

/// What a front-to-back reader delivered, put together.
class Collector final : public StreamVisitor {
 public:
  Result<void> region_begin(std::size_t region, const RegionInfo& info) override {
    EXPECT_EQ(region, infos.size());
    infos.push_back(info);
    contents.emplace_back();
    return {};
  }
  Result<void> region_bytes(std::size_t region, std::uint64_t offset, std::span<const std::byte> bytes) override {
    Bytes& content = contents.at(region);
    EXPECT_GE(offset, content.size());
    content.resize(offset);
    content.insert(content.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<void> region_end(std::size_t region, std::uint64_t size) override {
    contents.at(region).resize(size);
    infos.at(region).size = size;
    return {};
  }
  std::vector<RegionInfo> infos;
  std::vector<Bytes> contents;
};

inline Result<StreamResult> stream(std::span<const std::byte> file, StreamVisitor& visitor, Reader* parent = nullptr) {
  auto source = memory_source(file);
  auto bytes = range_stream(*source, 0, file.size());
  if (parent == nullptr) return read_stream(*bytes, visitor);
  return read_stream(*bytes, visitor, [&](const ParentRef&) -> Result<Reader*> { return parent; });
}

inline CheckReport check_file(std::span<const std::byte> file, unsigned threads = 1, Reader* parent = nullptr) {
  auto source = memory_source(file);
  CheckOptions options;
  options.threads = threads;
  options.parent = parent;
  auto report = check(*source, options);
  if (!report) {  // a file of another kind is a finding too
    CheckReport none;
    none.damage_count = 1;
    none.damages.push_back({DamageKind::kHeader, report.error()});
    return none;
  }
  return std::move(*report);
}

inline std::string describe(const CheckReport& report) {
  std::string text = std::to_string(report.damage_count) + " damages";
  for (const Damage& damage : report.damages) text += "\n  kind " + std::to_string(static_cast<int>(damage.kind)) + " " + explain(damage.error);
  for (const LostRange& lost : report.lost) {
    text += "\n  lost " + lost.region + " " + std::to_string(lost.offset) + "+" + std::to_string(lost.length);
  }
  return text;
}

/// Reads everything in every way and compares.
inline void expect_holds(std::span<const std::byte> file, const Sample& sample, Reader* parent = nullptr) {
  auto source = memory_source(file);
  auto reader = Reader::open(*source, {.parent = parent});
  ASSERT_OK(reader);
  ASSERT_EQ((*reader)->regions().size(), sample.regions.size());
  EXPECT_EQ((*reader)->metadata(), sample.metadata);
  for (std::size_t i = 0; i < sample.regions.size(); ++i) {
    const SampleRegion& region = sample.regions[i];
    const RegionInfo& info = (*reader)->regions()[i];
    EXPECT_EQ(info.name, region.info.name);
    EXPECT_EQ(info.kind, region.info.kind);
    EXPECT_EQ(info.placements, region.info.placements);
    ASSERT_EQ(info.size, region.content.size());
    Bytes content(info.size, std::byte{0xEE});
    ASSERT_OK((*reader)->read(i, 0, content));
    EXPECT_TRUE(content == region.content) << "region " << i;
  }
  Collector collector;
  const auto streamed = stream(file, collector, parent);
  ASSERT_OK(streamed);
  EXPECT_EQ(streamed->digest, (*reader)->digest());
  EXPECT_EQ(streamed->metadata, sample.metadata);
  EXPECT_EQ(streamed->file_bytes, file.size());
  ASSERT_EQ(collector.contents.size(), sample.regions.size());
  for (std::size_t i = 0; i < sample.regions.size(); ++i) EXPECT_TRUE(collector.contents[i] == sample.regions[i].content) << "region " << i;
  const CheckReport report = check_file(file, 1, parent);
  EXPECT_TRUE(report.clean() && report.complete && !report.repairable && report.lost_bytes == 0) << describe(report);
  EXPECT_EQ(report.digest, (*reader)->digest());
}

}  // namespace snap::test

// SPDX-License-Identifier: Apache-2.0
// Every file of format/vectors/v1 is read, streamed and checked as its manifest says. The files were made by an encoder that
// shares nothing with the library (format/vectors/make_vectors.py), which also explains the manifest.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "paths.h"
#include "snap/check.h"
#include "snap/io.h"
#include "snap/reader.h"
#include "snap/restore.h"
#include "snap/working_set.h"

namespace {

using nlohmann::json;
using snap::Code;

// SHA-256 (FIPS 180-4): the manifest must not depend on a hash that the format itself uses.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes) {
    total_ += bytes.size();
    while (!bytes.empty()) {
      const std::size_t part = std::min(bytes.size(), block_.size() - used_);
      std::memcpy(block_.data() + used_, bytes.data(), part);
      used_ += part;
      bytes = bytes.subspan(part);
      if (used_ == block_.size()) compress();
    }
  }

  std::string hex() {
    const std::uint64_t bits = total_ * 8;
    const std::byte one{0x80};
    update({&one, 1});
    const std::byte zero{0};
    while (used_ != 56) update({&zero, 1});
    std::array<std::byte, 8> length{};
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(bits >> (56 - 8 * i));
    update(length);
    std::string out;
    for (const std::uint32_t word : state_) {
      for (int shift = 28; shift >= 0; shift -= 4) out += "0123456789abcdef"[word >> shift & 15];
    }
    return out;
  }

 private:
  void compress() {
    static constexpr std::array<std::uint32_t, 64> kRound = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
        0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
        0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
        0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
        0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
        0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 16; ++i) {
      for (std::size_t j = 0; j < 4; ++j) w[i] = w[i] << 8 | std::to_integer<std::uint32_t>(block_[4 * i + j]);
    }
    for (std::size_t i = 16; i < 64; ++i) {
      const std::uint32_t a = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
      const std::uint32_t b = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    std::array<std::uint32_t, 8> s = state_;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t e = std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25);
      const std::uint32_t a = std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22);
      const std::uint32_t first = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + kRound[i] + w[i];
      const std::uint32_t second = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      s = {first + second, s[0], s[1], s[2], s[3] + first, s[4], s[5], s[6]};
    }
    for (std::size_t i = 0; i < 8; ++i) state_[i] += s[i];
    used_ = 0;
  }

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  std::size_t used_ = 0;
  std::uint64_t total_ = 0;
};

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string folder() { return std::string(SNAP_SOURCE_DIR) + "/format/vectors/v1/"; }

std::vector<std::byte> load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

const json& vectors() {
  static const json list = [] {
    std::ifstream file(folder() + "MANIFEST.json");
    return json::parse(file).at("vectors");
  }();
  return list;
}

struct Vector {
  explicit Vector(const json& of) : entry(of), name(of.at("file").get<std::string>()), bytes(load(folder() + name)) {}
  const json& entry;
  std::string name;
  std::vector<std::byte> bytes;
};

/// The parents of a vector, open: the last of its list first.
class Ancestors {
 public:
  explicit Ancestors(const json& entry) {
    if (!entry.contains("parents")) return;
    const json& list = entry.at("parents");
    for (auto name = list.rbegin(); name != list.rend(); ++name) {
      files_.push_back(load(folder() + name->get<std::string>()));
      sources_.push_back(snap::memory_source(files_.back()));
      auto opened = snap::Reader::open(*sources_.back(), {.parent = nearest()});
      if (!opened) {
        error_ = opened.error();
        return;
      }
      readers_.push_back(std::move(*opened));
    }
  }

  /// Why one of them cannot be opened; code kOk where all can.
  const snap::Error& error() const { return error_; }
  snap::Reader* nearest() const { return readers_.empty() ? nullptr : readers_.back().get(); }
  snap::FindParent finder() const {
    return [this](const snap::ParentRef&) -> snap::Result<snap::Reader*> {
      if (nearest() == nullptr) return snap::Error{.code = Code::kParentMismatch, .what = "there is none"};
      return nearest();
    };
  }

 private:
  std::deque<std::vector<std::byte>> files_;
  std::vector<std::unique_ptr<snap::RandomSource>> sources_;
  std::vector<std::unique_ptr<snap::Reader>> readers_;
  snap::Error error_;
};

template <typename Body>
void each(const char* expected, Body body) {
  ASSERT_FALSE(vectors().empty());
  for (const json& entry : vectors()) {
    if (entry.at("expected") != expected) continue;
    SCOPED_TRACE(entry.at("file").get<std::string>());
    body(Vector(entry));
  }
}

std::string explain(const snap::Error& error) {
  return std::string(snap::code_name(error.code)) + " at " + std::to_string(error.file_offset) + ": " + error.what;
}

bool zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// The bytes of a region that are not zero, by page: also for regions that fit into no memory.
using Pages = std::map<std::uint64_t, std::vector<std::byte>>;

void keep(Pages& pages, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t number = offset / snap::kPageBytes;
    const std::size_t at = offset % snap::kPageBytes;
    const auto part = bytes.first(std::min(bytes.size(), snap::kPageBytes - at));
    if (!zero(part)) {
      auto& page = pages[number];
      page.resize(snap::kPageBytes);
      std::copy(part.begin(), part.end(), page.begin() + static_cast<std::ptrdiff_t>(at));
    }
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
}

void expect_content(const json& region, const Pages& pages, std::uint64_t size) {
  ASSERT_EQ(size, region.at("size").get<std::uint64_t>());
  if (!region.at("sha256").is_null()) {
    std::vector<std::byte> whole((size + snap::kPageBytes - 1) / snap::kPageBytes * snap::kPageBytes);
    for (const auto& [number, page] : pages) {
      ASSERT_LE((number + 1) * snap::kPageBytes, whole.size());
      std::copy(page.begin(), page.end(), whole.begin() + static_cast<std::ptrdiff_t>(number * snap::kPageBytes));
    }
    EXPECT_TRUE(zero(std::span(whole).subspan(size)));
    EXPECT_EQ(sha256(std::span(whole).first(size)), region.at("sha256").get<std::string>());
    return;
  }
  json found = json::array();
  for (const auto& [number, page] : pages) found.push_back({number, sha256(page)});
  EXPECT_EQ(found, region.at("pages"));
}

const char* kind_name(snap::RegionKind kind) { return kind == snap::RegionKind::kMemory ? "memory" : "state"; }

// Reads all of a region that is not a hole, `step` bytes a call.
snap::Result<void> read_region(snap::Reader& reader, std::size_t region, Pages& pages, std::size_t step) {
  const std::uint64_t size = reader.regions()[region].size;
  std::uint64_t offset = 0;
  while (offset < size) {
    const auto extent = reader.extent(region, offset);
    if (!extent) return extent.error();
    if (extent->length == 0) return snap::Error{Code::kCorrupt, 0, 0, offset, "extent() answers an empty extent", 0};
    const std::uint64_t end = std::min(size, offset + extent->length);
    while (extent->data && offset < end) {
      std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(step, end - offset)));
      if (const auto result = reader.read(region, offset, buffer); !result) return result.error();
      keep(pages, offset, buffer);
      offset += buffer.size();
    }
    offset = end;
  }
  return {};
}

void expect_by_seeking(const json& entry, snap::RandomSource& source, std::size_t cache_bytes, std::size_t step) {
  const Ancestors ancestors(entry);
  ASSERT_EQ(ancestors.error().code, Code::kOk) << explain(ancestors.error());
  const auto opened = snap::Reader::open(source, {.cache_bytes = cache_bytes, .parent = ancestors.nearest()});
  ASSERT_TRUE(opened) << explain(opened.error());
  snap::Reader& reader = **opened;
  EXPECT_EQ(snap::to_hex(reader.digest()), entry.at("digest").get<std::string>());
  EXPECT_EQ(reader.metadata(), entry.at("metadata").get<snap::Metadata>());
  ASSERT_EQ(reader.regions().size(), entry.at("regions").size());
  for (std::size_t i = 0; i < reader.regions().size(); ++i) {
    const json& region = entry.at("regions").at(i);
    const snap::RegionInfo& info = reader.regions()[i];
    SCOPED_TRACE(info.name);
    EXPECT_EQ(info.name, region.at("name").get<std::string>());
    EXPECT_STREQ(kind_name(info.kind), region.at("kind").get<std::string>().c_str());
    EXPECT_EQ(reader.find(info.kind, info.name), i);
    Pages pages;
    const auto result = read_region(reader, i, pages, step);
    ASSERT_TRUE(result) << explain(result.error());
    expect_content(region, pages, info.size);
  }
}

class Collector : public snap::StreamVisitor {
 public:
  struct Region {
    snap::RegionInfo info;
    Pages pages;
    std::uint64_t next = 0;
    std::uint64_t size = snap::kUnknownSize;
  };

  snap::Result<void> region_begin(std::size_t region, const snap::RegionInfo& info) override {
    EXPECT_EQ(region, regions.size());
    regions.push_back({info, {}, 0, snap::kUnknownSize});
    return {};
  }
  snap::Result<void> region_bytes(std::size_t region, std::uint64_t offset, std::span<const std::byte> bytes) override {
    EXPECT_EQ(region + 1, regions.size());
    EXPECT_GE(offset, regions.back().next);
    EXPECT_EQ(regions.back().size, snap::kUnknownSize);
    regions.back().next = offset + bytes.size();
    keep(regions.back().pages, offset, bytes);
    return {};
  }
  snap::Result<void> region_end(std::size_t region, std::uint64_t size) override {
    EXPECT_EQ(region + 1, regions.size());
    regions.back().size = size;
    return {};
  }

  std::vector<Region> regions;
};

bool allowed(const json& entry, Code code) {
  static const std::map<std::string, Code> kNames = {
      {"truncated", Code::kTruncated}, {"corrupt", Code::kCorrupt}, {"unsupported", Code::kUnsupported}, {"limit", Code::kLimit},
      {"parent_mismatch", Code::kParentMismatch}};
  if (kNames.at(entry.at("code")) == code) return true;
  if (!entry.contains("also")) return false;
  return std::any_of(entry.at("also").begin(), entry.at("also").end(),
                     [&](const json& other) { return kNames.at(other) == code; });
}

TEST(Vectors, FilesAreThoseOfTheManifest) {
  ASSERT_GE(vectors().size(), 100u);
  for (const json& entry : vectors()) {
    const Vector vector(entry);
    EXPECT_EQ(sha256(vector.bytes), entry.at("sha256").get<std::string>()) << vector.name;
    EXPECT_LE(vector.bytes.size(), 65536u) << vector.name;
  }
}

TEST(Vectors, GoodOnesBySeeking) {
  each("ok", [](const Vector& vector) {
    const auto source = snap::memory_source(vector.bytes);
    expect_by_seeking(vector.entry, *source, 64u << 20, 1u << 20);
  });
}

TEST(Vectors, WorkingSets) {
  each("ok", [](const Vector& vector) {
    const auto source = snap::memory_source(vector.bytes);
    const auto ranges = snap::read_working_set(*source);
    ASSERT_TRUE(ranges) << explain(ranges.error());
    json found = json::array();
    for (const snap::TouchedRange& range : *ranges) found.push_back({range.region, range.first_page, range.pages});
    EXPECT_EQ(found, vector.entry.value("working_set", json::array()));
  });
  each("refused", [](const Vector& vector) {
    const auto source = snap::memory_source(vector.bytes);
    const auto ranges = snap::read_working_set(*source);
    EXPECT_TRUE(ranges || allowed(vector.entry, ranges.error().code)) << explain(ranges.error());
  });
}

TEST(Vectors, GoodOnesBySeekingInSmallStepsWithoutCache) {
  each("ok", [](const Vector& vector) {
    const int fd = ::open((folder() + vector.name).c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    {
      const auto source = snap::file_source(fd);
      expect_by_seeking(vector.entry, *source, 0, 3001);
    }
    ::close(fd);
  });
}

TEST(Vectors, GoodOnesRestored) {
  each("ok", [](const Vector& vector) {
    const auto source = snap::memory_source(vector.bytes);
    const Ancestors ancestors(vector.entry);
    const auto opened = snap::Reader::open(*source, {.parent = ancestors.nearest()});
    ASSERT_TRUE(opened) << explain(opened.error());
    for (std::size_t i = 0; i < (*opened)->regions().size(); ++i) {
      const json& region = vector.entry.at("regions").at(i);
      if (region.at("sha256").is_null()) continue;
      std::vector<std::byte> memory(static_cast<std::size_t>((*opened)->regions()[i].size), std::byte{0xee});
      const auto result = snap::restore_to_memory(**opened, i, memory, {.threads = 2, .target_is_zero = false});
      ASSERT_TRUE(result) << explain(result.error());
      EXPECT_EQ(sha256(memory), region.at("sha256").get<std::string>()) << (*opened)->regions()[i].name;
    }
  });
}

TEST(Vectors, GoodOnesFrontToBack) {
  each("ok", [](const Vector& vector) {
    const auto source = snap::memory_source(vector.bytes);
    const auto stream = snap::range_stream(*source, 0, vector.bytes.size());
    Collector collector;
    const Ancestors ancestors(vector.entry);
    const auto result = snap::read_stream(*stream, collector, ancestors.finder());
    ASSERT_TRUE(result) << explain(result.error());
    EXPECT_EQ(snap::to_hex(result->digest), vector.entry.at("digest").get<std::string>());
    EXPECT_EQ(result->metadata, vector.entry.at("metadata").get<snap::Metadata>());
    EXPECT_EQ(result->file_bytes, vector.bytes.size());
    ASSERT_EQ(collector.regions.size(), vector.entry.at("regions").size());
    for (std::size_t i = 0; i < collector.regions.size(); ++i) {
      const Collector::Region& found = collector.regions[i];
      SCOPED_TRACE(found.info.name);
      EXPECT_EQ(found.info.name, vector.entry.at("regions").at(i).at("name").get<std::string>());
      EXPECT_STREQ(kind_name(found.info.kind), vector.entry.at("regions").at(i).at("kind").get<std::string>().c_str());
      expect_content(vector.entry.at("regions").at(i), found.pages, found.size);
    }
  });
}

TEST(Vectors, GoodOnesAreClean) {
  each("ok", [](const Vector& vector) {
    const auto source = snap::memory_source(vector.bytes);
    const Ancestors ancestors(vector.entry);
    const auto report = snap::check(*source, {.parent = ancestors.nearest()});
    ASSERT_TRUE(report) << explain(report.error());
    EXPECT_TRUE(report->clean()) << (report->damages.empty() ? "" : explain(report->damages.front().error));
    EXPECT_TRUE(report->complete);
    EXPECT_TRUE(report->content_compared);
    EXPECT_TRUE(report->lost.empty());
    EXPECT_EQ(report->file_bytes, vector.bytes.size());
    EXPECT_EQ(snap::to_hex(report->digest), vector.entry.at("digest").get<std::string>());
    EXPECT_EQ(report->regions.size(), vector.entry.at("regions").size());
  });
}

TEST(Vectors, GoodChildrenAreCleanAsFarAsCanBeToldWithoutTheirParents) {
  each("ok", [](const Vector& vector) {
    if (!vector.entry.contains("parents")) return;
    const auto source = snap::memory_source(vector.bytes);
    const auto report = snap::check(*source);
    ASSERT_TRUE(report) << explain(report.error());
    EXPECT_TRUE(report->clean()) << (report->damages.empty() ? "" : explain(report->damages.front().error));
    EXPECT_TRUE(report->parent.has_value());
    EXPECT_EQ(snap::to_hex(report->digest), vector.entry.at("digest").get<std::string>());
  });
}

// In pieces of `step` bytes: a lone page takes a shorter way than a block.
void expect_refused_by_seeking(std::size_t step) {
  each("refused", [step](const Vector& vector) {
    const std::string by = vector.entry.at("refused_by");
    const std::string hint = vector.entry.at("hint");
    const auto source = snap::memory_source(vector.bytes);
    const Ancestors ancestors(vector.entry);
    if (ancestors.error().code != Code::kOk) {
      EXPECT_EQ(by, "open");
      EXPECT_TRUE(allowed(vector.entry, ancestors.error().code)) << explain(ancestors.error()) << "; expected: " << hint;
      return;
    }
    const auto opened = snap::Reader::open(*source, {.parent = ancestors.nearest()});
    if (!opened) {
      EXPECT_TRUE(allowed(vector.entry, opened.error().code)) << explain(opened.error()) << "; expected: " << hint;
      return;
    }
    ASSERT_NE(by, "open") << "opened; expected: " << hint;
    bool refused = false;
    for (std::size_t i = 0; i < (*opened)->regions().size(); ++i) {
      Pages pages;
      const auto result = read_region(**opened, i, pages, step);
      if (result) continue;
      refused = true;
      EXPECT_TRUE(allowed(vector.entry, result.error().code)) << explain(result.error()) << "; expected: " << hint;
    }
    if (by == "read") {
      EXPECT_TRUE(refused) << "read; expected: " << hint;
    }
  });
}

TEST(Vectors, RefusedOnesBySeeking) { expect_refused_by_seeking(1u << 20); }

TEST(Vectors, RefusedOnesPageByPage) { expect_refused_by_seeking(snap::kPageBytes); }

TEST(Vectors, RefusedOnesFrontToBack) {
  each("refused", [](const Vector& vector) {
    const std::string hint = vector.entry.at("hint");
    const auto source = snap::memory_source(vector.bytes);
    const auto stream = snap::range_stream(*source, 0, vector.bytes.size());
    Collector collector;
    const Ancestors ancestors(vector.entry);
    if (ancestors.error().code != Code::kOk) return;  // seen by seeking
    const auto result = snap::read_stream(*stream, collector, ancestors.finder());
    if (result) {
      EXPECT_NE(vector.entry.at("stream").get<std::string>(), "must") << "accepted; expected: " << hint;
    } else {
      EXPECT_TRUE(allowed(vector.entry, result.error().code)) << explain(result.error()) << "; expected: " << hint;
    }
  });
}

TEST(Vectors, RefusedOnesAreNotClean) {
  each("refused", [](const Vector& vector) {
    const std::string hint = vector.entry.at("hint");
    const auto source = snap::memory_source(vector.bytes);
    const Ancestors ancestors(vector.entry);
    if (ancestors.error().code != Code::kOk) return;  // seen by seeking
    const auto report = snap::check(*source, {.parent = ancestors.nearest()});
    if (!report) {
      EXPECT_TRUE(allowed(vector.entry, report.error().code)) << explain(report.error()) << "; expected: " << hint;
      return;
    }
    EXPECT_FALSE(report->clean()) << "clean; expected: " << hint;
    EXPECT_GE(report->damage_count, report->damages.size());
    for (const snap::Damage& damage : report->damages) {
      EXPECT_NE(damage.error.code, Code::kOk);
      EXPECT_NE(damage.error.code, Code::kIo) << explain(damage.error);
      EXPECT_NE(damage.error.code, Code::kNoMemory) << explain(damage.error);
    }
  });
}

}  // namespace

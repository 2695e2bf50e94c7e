// SPDX-License-Identifier: Apache-2.0
// A Writer and a Reader that keep a snapshot in memory: importers are tested without the container, and every rule that
// snap/writer.h makes for its caller is enforced. Zero pages take no room.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "snap/reader.h"
#include "snap/writer.h"

namespace snap::test {

struct MemoryRegion {
  RegionInfo info;
  PageOrder order = PageOrder::kAscending;
  std::map<std::uint64_t, std::vector<std::byte>> pages;  // by page number; absent: zero
  std::uint64_t written = 0;

  void put(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::uint64_t page = offset / kPageBytes;
      const std::size_t at = offset % kPageBytes;
      const std::size_t count = std::min(bytes.size(), kPageBytes - at);
      const auto piece = bytes.first(count);
      const bool zero = piece[0] == std::byte{0} && std::memcmp(piece.data(), piece.data() + 1, count - 1) == 0;
      if (!zero || pages.contains(page)) {
        auto& kept = pages.try_emplace(page, kPageBytes).first->second;
        std::memcpy(kept.data() + at, piece.data(), count);
      }
      offset += count;
      bytes = bytes.subspan(count);
    }
  }
  void get(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
      const std::size_t at = offset % kPageBytes;
      const std::size_t count = std::min(out.size(), kPageBytes - at);
      const auto found = pages.find(offset / kPageBytes);
      if (found == pages.end()) {
        std::memset(out.data(), 0, count);
      } else {
        std::memcpy(out.data(), found->second.data() + at, count);
      }
      offset += count;
      out = out.subspan(count);
    }
  }
};

struct MemorySnapshot {
  std::vector<MemoryRegion> regions;
  Metadata metadata;

  const MemoryRegion* find(std::string_view name) const {
    for (const MemoryRegion& region : regions) {
      if (region.info.name == name) return &region;
    }
    return nullptr;
  }
  std::vector<std::byte> bytes(std::string_view name) const {
    const MemoryRegion* region = find(name);
    if (region == nullptr) return {};
    std::vector<std::byte> bytes(region->info.size);
    region->get(0, bytes);
    return bytes;
  }
  /// All memory regions one behind the other.
  std::vector<std::byte> memory() const {
    std::vector<std::byte> all;
    for (const MemoryRegion& region : regions) {
      if (region.info.kind != RegionKind::kMemory) continue;
      const std::size_t at = all.size();
      all.resize(at + region.info.size);
      region.get(0, std::span(all).subspan(at));
    }
    return all;
  }
};

class MemoryWriter final : public Writer {
 public:
  explicit MemoryWriter(MemorySnapshot& snapshot) : snapshot_(snapshot) {}

  /// The call with this number, and all later ones, fail.
  void fail_at(unsigned call) { fail_at_ = call; }

  Result<void> set_metadata(std::string_view key, std::string_view value) override {
    if (auto bad = check(!open_ && !key.empty() && value.find('\0') == std::string_view::npos); !bad) return bad;
    if (key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/") != std::string_view::npos) return misuse();
    snapshot_.metadata[std::string(key)] = value;
    return {};
  }
  Result<void> set_working_set(std::span<const TouchedRange>) override { return check(!open_); }
  Result<void> begin_region(const RegionInfo& info, PageOrder order) override {
    const bool taken = std::any_of(snapshot_.regions.begin(), snapshot_.regions.end(), [&](const auto& region) {
      return region.info.kind == info.kind && region.info.name == info.name;
    });
    if (auto bad = check(!open_ && !taken && !info.name.empty()); !bad) return bad;
    for (const Placement& placement : info.placements) {
      if (placement.length == 0 || placement.offset > info.size || placement.length > info.size - placement.offset)
        return misuse();
    }
    open_ = true;
    snapshot_.regions.push_back({info, order, {}, 0});
    return {};
  }
  Result<void> write(std::span<const std::byte> bytes) override {
    if (auto bad = check_room(PageOrder::kAscending, 0, bytes.size()); !bad) return bad;
    region().put(region().written, bytes);
    region().written += bytes.size();
    return {};
  }
  Result<void> skip(std::uint64_t bytes) override {
    if (auto bad = check_room(PageOrder::kAscending, 0, bytes); !bad) return bad;
    region().written += bytes;
    return {};
  }
  Result<void> write_from(RandomSource& source, std::uint64_t offset, std::uint64_t length) override {
    std::vector<std::byte> bytes(length);
    auto got = source.read_at(offset, bytes);
    if (!got) return got.error();
    if (*got != length) return Error{Code::kTruncated, 0, 0, offset, "the source ends early", 0};
    return write(bytes);
  }
  Result<void> write_rest(ByteSource& source) override {
    std::vector<std::byte> bytes(4096);
    while (true) {
      auto got = source.read(bytes);
      if (!got || *got == 0) return got ? Result<void>() : got.error();
      if (auto bad = write(std::span(bytes).first(*got)); !bad) return bad;
    }
  }
  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (auto bad = check_room(PageOrder::kAnyOrder, offset, bytes.size()); !bad) return bad;
    region().put(offset, bytes);
    region().written = std::max(region().written, offset + bytes.size());
    return {};
  }
  Result<void> end_region() override {
    if (auto bad = check(open_); !bad) return bad;
    open_ = false;
    RegionInfo& info = region().info;
    if (info.size == kUnknownSize) info.size = region().written;
    if (region().order == PageOrder::kAscending && region().written != info.size) return misuse();
    return {};
  }
  Result<Digest> finish() override { return Digest{}; }
  std::uint64_t taken_bytes() const override { return 0; }
  std::uint64_t written_bytes() const override { return 0; }

 private:
  MemoryRegion& region() { return snapshot_.regions.back(); }
  static Error misuse() { return Error{Code::kInvalidArgument, 0, 0, 0, "a rule of the writer was broken", 0}; }
  Result<void> check(bool allowed) {
    if (++calls_ >= fail_at_) return Error{Code::kIo, 28, 0, 0, "the writer fails as asked", 0};
    if (!allowed) return misuse();
    return {};
  }
  Result<void> check_room(PageOrder order, std::uint64_t offset, std::uint64_t bytes) {
    if (auto bad = check(open_ && region().order == order); !bad) return bad;
    const std::uint64_t from = order == PageOrder::kAscending ? region().written : offset;
    const std::uint64_t size = region().info.size;
    if (from > size || bytes > size - from) return misuse();
    return {};
  }

  MemorySnapshot& snapshot_;
  bool open_ = false;
  unsigned calls_ = 0;
  unsigned fail_at_ = ~0u;
};

class MemoryReader final : public Reader {
 public:
  explicit MemoryReader(const MemorySnapshot& snapshot) : snapshot_(snapshot) {
    for (const MemoryRegion& region : snapshot.regions) infos_.push_back(region.info);
  }
  std::span<const RegionInfo> regions() const override { return infos_; }
  RegionStats region_stats(std::size_t) const override { return {}; }
  Digest region_digest(std::size_t) const override { return {}; }
  const Metadata& metadata() const override { return snapshot_.metadata; }
  const Digest& digest() const override { return digest_; }
  std::uint32_t block_bytes() const override { return 65536; }
  std::uint64_t file_bytes() const override { return 0; }
  Result<void> read(std::size_t region, std::uint64_t offset, std::span<std::byte> out) override {
    const std::uint64_t size = infos_.at(region).size;
    if (offset > size || out.size() > size - offset) return Error{Code::kInvalidArgument, 0, 0, offset, "outside the region", 0};
    snapshot_.regions[region].get(offset, out);
    return {};
  }
  Result<void> read_batch(std::span<const RegionRead> batch) override {
    for (const RegionRead& one : batch) {
      if (auto read_one = read(one.region, one.offset, one.out); !read_one) return read_one;
    }
    return {};
  }
  Result<Digest> block_digest(std::size_t, std::uint64_t) override { return Digest{}; }
  Result<Extent> extent(std::size_t region, std::uint64_t offset, std::uint64_t) override { return Extent{offset, infos_.at(region).size - offset, true}; }

 private:
  const MemorySnapshot& snapshot_;
  std::vector<RegionInfo> infos_;
  Digest digest_;
};

}  // namespace snap::test
